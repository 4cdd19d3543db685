//! Sealed files and verifiable random functions.

use keyglass_crypto::{
    sealed::{self, Passphrase},
    vrf::{VrfProof, VrfPublicKey},
};
use std::str;

/// A sealed key or backup under the passphrase of the seeds. What costs much to open is left out.
pub fn sealed(input: &[u8]) {
    let cheap = |text: &str| {
        let number = |word: &str| {
            let digits = text.split(word).nth(1)?.split(' ').next()?;
            digits.parse::<u64>().ok()
        };
        number(" m=").is_none_or(|memory| memory <= 64) && number(" t=").is_none_or(|passes| passes <= 2)
    };
    if !str::from_utf8(input).is_ok_and(cheap) {
        return;
    }
    let passphrase = Passphrase::new(b"passphrase".to_vec().into()).unwrap();
    let opened = sealed::open("key", input, &passphrase);
    assert!(opened.is_err() || sealed::is_sealed(input));
    assert!(opened.is_err() || sealed::open("other", input, &passphrase).is_err());
}

/// A public key, a proof and what it is of.
pub fn vrf(input: &[u8]) {
    let Some((key, rest)) = input.split_first_chunk::<32>() else { return };
    let Some((proof, alpha)) = rest.split_at_checked(80) else { return };
    let (Ok(key), Ok(proof)) = (VrfPublicKey::from_bytes(key), VrfProof::from_slice(proof)) else { return };
    if let Ok(output) = key.verify(alpha, &proof) {
        let other = [alpha, &[0]].concat();
        assert!(key.verify(&other, &proof).is_err(), "one proof is of one input");
        assert_eq!(key.verify(alpha, &proof).ok(), Some(output));
    }
}
