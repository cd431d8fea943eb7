//! The default bridge, prepared sandboxes and their endpoints.
