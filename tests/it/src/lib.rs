//! Black-box tests of the dhow binary, each in its own namespaces.
