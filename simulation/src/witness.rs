//! A witness: the real decision over a head that survives its crashes, or a liar that signs whatever it is given.

use keyglass_log_server::clock::Clock as _;
use keyglass_tlog::{cosignature::Cosigner, note::SignatureLine, witness::AddCheckpoint};
use keyglass_witness::{
    decide::{Refusal, authenticate, decide},
    head::Head,
};

use crate::{
    clock::PartyClock,
    setting::{cosigner, setting},
};

/// A witness.
#[derive(Debug)]
pub struct Witness {
    cosigner: Cosigner,
    clock: PartyClock,
    durable: Option<Head>,
    /// Whether it signs whatever it is given.
    pub colludes: bool,
}

impl Witness {
    /// A witness that has seen nothing.
    #[must_use]
    pub fn new(index: usize, clock: PartyClock) -> Self {
        Self { cosigner: cosigner(index), clock, durable: None, colludes: false }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &PartyClock {
        &self.clock
    }

    /// Answers `add-checkpoint`.
    ///
    /// # Errors
    /// Those of the real witness.
    pub fn add_checkpoint(&mut self, request: AddCheckpoint) -> Result<SignatureLine, Refusal> {
        let now = self.clock.now().to_seconds();
        if self.colludes {
            return Ok(self.cosigner.cosign(request.checkpoint(), now).unwrap());
        }
        let authentic = authenticate(request, Some(std::slice::from_ref(&setting().vkey)))?;
        let head = decide(authentic, self.durable.as_ref(), now)?;
        let line = self.cosigner.cosign(head.checkpoint(), head.time()).unwrap();
        self.durable = Some(head);
        Ok(line)
    }
}
