//! The wire types of the Docker Engine API 1.24 to 1.51.
