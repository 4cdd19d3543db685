//! A value under a head that only the log vouches for, without the override.

use keyglass_client_verify::proven::{UnwitnessedValue, prove};

fn attempt(value: UnwitnessedValue) {
    let _ = prove(value, None);
}

fn main() {}
