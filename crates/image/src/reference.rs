//! Names of images: the grammar of github.com/distribution/reference, with Docker's familiar short forms.
