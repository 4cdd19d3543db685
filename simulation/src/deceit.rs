//! How the server lies, where it does.

use std::collections::BTreeMap;

use keyglass_account::{
    api::Id128,
    prekey::{KemPreKey, OneTimeEntry, PreKeyBundle, SignedPreKey},
    problem::Problem,
};
use keyglass_crypto::kem::KemSecretKey;
use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{Context, SearchResponse, Wire as _},
};
use keyglass_log_server::tokens::DeviceName;

use crate::{
    branch::Question,
    env::{Env, Trouble},
    lies::Lie,
    services::Parcel,
    setting::setting,
};

/// What the server lies about, and what it has kept for it.
#[derive(Debug, Default)]
pub struct Deceit {
    /// The lies that it tells.
    pub armed: Vec<Lie>,
    /// How often it tells one where it can, in thousandths.
    pub intensity: u64,
    /// Whether it withholds the tiles that would show a fork.
    pub withholds_tiles: bool,
    /// The branch whose heads no quorum has cosigned.
    pub unwitnessed: Option<usize>,
    /// The size up to which all branches agree.
    pub fork_size: u64,
    /// A client that is shown another branch than usual during this step.
    pub shown: Option<(usize, usize)>,
    one_time: BTreeMap<DeviceName, Vec<OneTimeEntry>>,
    signed: BTreeMap<DeviceName, Vec<SignedPreKey>>,
    bundles: Vec<(DeviceName, PreKeyBundle)>,
    sent: Vec<Parcel>,
}

impl Deceit {
    /// Whether heads of a branch are served without a quorum.
    #[must_use]
    pub fn is_unwitnessed(&self, branch: usize) -> bool {
        self.unwitnessed == Some(branch)
    }

    /// The branch that a client is shown in this step.
    #[must_use]
    pub fn branch_for(&self, who: usize, usual: usize) -> usize {
        match self.shown {
            Some((victim, branch)) if victim == who => branch,
            _ => usual,
        }
    }

    fn tells(env: &mut Env, lie: Lie) -> bool {
        env.deceit.armed.contains(&lie) && env.dice.happens(env.deceit.intensity)
    }

    /// Answers a question, truthfully or not.
    ///
    /// # Errors
    /// [`Trouble::Problem`].
    pub fn answer(
        env: &mut Env,
        who: usize,
        branch: usize,
        head: usize,
        question: &Question,
    ) -> Result<Vec<u8>, Trouble> {
        let mut head = head;
        // Under the head that it retains, the other side can only tell the truth.
        let size = env.branches[branch].heads()[head].size;
        let grown = question.last() != Some(size) && size > env.deceit.fork_size;
        if branch != env.side[who] && grown {
            let lie = if env.deceit.is_unwitnessed(branch) { Lie::Unwitnessed } else { Lie::ForkShown };
            env.tell(lie);
        }
        let Question::Search(request) = question else {
            return Ok(env.branches[branch].answer(head, question)?);
        };
        if Self::tells(env, Lie::DenyLabel) {
            env.tell(Lie::DenyLabel);
            return Err(Problem::UnknownLabel.into());
        }
        if head > 0 && Self::tells(env, Lie::OldHead) {
            head = env.dice.index(head);
            env.lagged = true;
            env.tell(Lie::OldHead);
        }
        let answer = env.branches[branch].answer(head, question)?;
        if !Self::tells(env, Lie::SwapRecord) {
            return Ok(answer);
        }
        env.tell(Lie::SwapRecord);
        let context = Context::new(DeploymentMode::ContactMonitoring);
        let context = Context { version_requested: request.version.is_some(), ..context };
        let mut response = SearchResponse::decode(&answer, context).unwrap();
        let key = setting().attacker.identity.verifying_key().to_bytes();
        let value = &mut response.value.value;
        // The identity key stands after format, version and authorisation, whether or not there is a predecessor.
        let place = if value.get(6) == Some(&0) { 7 } else { 7 + 36 };
        match value.get_mut(place..place + 32) {
            Some(identity) => identity.copy_from_slice(&key),
            None => value.push(0),
        }
        Ok(response.encode().unwrap())
    }

    /// Hands out a bundle, or something in its place.
    pub fn bundle(env: &mut Env, target: &DeviceName, bundle: PreKeyBundle) -> PreKeyBundle {
        let mut out = bundle.clone();
        let attacker = &setting().attacker;
        let old = env
            .deceit
            .signed
            .get(target)
            .and_then(|kept| kept.iter().rev().find(|old| old.id < bundle.signed_prekey.id).copied());
        let used = env.deceit.one_time.get(target).cloned().unwrap_or_default();
        let floor = bundle.signed_prekey.floor;
        let live = used.iter().rev().find(|entry| entry.header.batch >= floor).cloned();
        let dead = used.iter().rev().find(|entry| entry.header.batch < floor).cloned();
        let other = env.deceit.bundles.iter().rev().find(|(of, _)| of != target).cloned();
        let lie = if Self::tells(env, Lie::SwapSignedPreKey) {
            out.signed_prekey.key = attacker.dh.public_key();
            if env.dice.happens(500) {
                let SignedPreKey { device, id, key, created, expires, floor, .. } = out.signed_prekey;
                let (origin, signer) = (&setting().origin, &attacker.device);
                out.signed_prekey = SignedPreKey::sign(
                    origin,
                    &target.label,
                    signer,
                    device,
                    id,
                    key,
                    created,
                    expires,
                    floor,
                )
                .unwrap();
            }
            Some(Lie::SwapSignedPreKey)
        } else if let (true, Some(old)) = (Self::tells(env, Lie::OldSignedPreKey), old) {
            out.signed_prekey = old;
            out.one_time = None;
            Some(Lie::OldSignedPreKey)
        } else if let (true, Some(entry)) = (Self::tells(env, Lie::SwapOneTime), &mut out.one_time) {
            entry.prekey.key = attacker.dh.public_key();
            Some(Lie::SwapOneTime)
        } else if let (true, Some(entry)) = (Self::tells(env, Lie::RepeatOneTime), live) {
            out.one_time = Some(entry);
            Some(Lie::RepeatOneTime)
        } else if let (true, Some(entry)) = (Self::tells(env, Lie::ResurrectOneTime), dead) {
            out.one_time = Some(entry);
            Some(Lie::ResurrectOneTime)
        } else if out.kem.is_some() && Self::tells(env, Lie::StripKem) {
            out.kem = None;
            Some(Lie::StripKem)
        } else if let (true, Some(kem)) = (Self::tells(env, Lie::SwapKem), &mut out.kem) {
            let key = KemSecretKey::from_seed(&[69; 64]).public_key().clone();
            match kem {
                KemPreKey::OneTime(entry) => entry.prekey.key = key,
                KemPreKey::LastResort(prekey) => prekey.key = key,
            }
            Some(Lie::SwapKem)
        } else if Self::tells(env, Lie::StripOneTime) && out.one_time.is_some() {
            out.one_time = None;
            Some(Lie::StripOneTime)
        } else if let (true, Some((_, other))) = (Self::tells(env, Lie::OtherBundle), other) {
            out = other;
            Some(Lie::OtherBundle)
        } else {
            None
        };
        if let Some(lie) = lie {
            env.tell(lie);
        }
        env.deceit.remember(target, bundle);
        out
    }

    fn remember(&mut self, target: &DeviceName, bundle: PreKeyBundle) {
        if let Some(entry) = &bundle.one_time {
            self.one_time.entry(target.clone()).or_default().push(entry.clone());
        }
        let signed = self.signed.entry(target.clone()).or_default();
        if !signed.contains(&bundle.signed_prekey) {
            signed.push(bundle.signed_prekey);
        }
        self.bundles.push((target.clone(), bundle));
    }

    /// Takes a message over; says whether it is kept back for ever.
    pub fn parcel(env: &mut Env, parcel: &Parcel) -> bool {
        env.deceit.sent.push(parcel.clone());
        let withheld = Self::tells(env, Lie::WithholdMessage);
        if withheld {
            env.tell(Lie::WithholdMessage);
        }
        withheld
    }

    /// Shows a device its messages, and more.
    pub fn messages(env: &mut Env, device: &DeviceName, messages: &mut Vec<(Id128, Vec<u8>)>) {
        if !messages.is_empty() && Self::tells(env, Lie::AlterMessage) {
            env.tell(Lie::AlterMessage);
            let at = env.dice.index(messages.len());
            let mut altered = messages[at].1.clone();
            let len = altered.len();
            // Mostly the ciphertext, which is long.
            let byte =
                if env.dice.happens(300) { env.dice.index(len) } else { len - 1 - env.dice.index(len / 2) };
            altered[byte] ^= 1 << env.dice.below(8);
            messages.insert(at, (Id128(env.dice.bytes()), altered));
        }
        let seen: Vec<(DeviceName, Vec<u8>)> =
            env.deceit.sent.iter().map(|parcel| (parcel.to.clone(), parcel.body.clone())).collect();
        if let Some((_, body)) = seen.iter().find(|(to, _)| to == device)
            && Self::tells(env, Lie::ReplayMessage)
        {
            env.tell(Lie::ReplayMessage);
            messages.push((Id128(env.dice.bytes()), body.clone()));
        }
        if let Some((_, body)) = seen.iter().find(|(to, _)| to != device)
            && Self::tells(env, Lie::MisdeliverMessage)
        {
            env.tell(Lie::MisdeliverMessage);
            messages.push((Id128(env.dice.bytes()), body.clone()));
        }
    }
}
