//! Lossless reader and editor of Tars configuration files
