//! Keyglass keytrans.
