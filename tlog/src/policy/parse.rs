//! The lines of a policy file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Group, Log, MAX_LINES_OF_A_KIND, MAX_POLICY_LEN, Member, Name, Policy, PolicyError,
    PolicyErrorKind as Kind, Quorum, Witness,
};
use crate::{
    note::{PublicKey, Vkey, VkeyError},
    text,
};

pub(super) fn parse(file: &[u8]) -> Result<Policy, PolicyError> {
    if file.len() > MAX_POLICY_LEN {
        return Err(PolicyError { line: 1, kind: Kind::TooLong });
    }
    let mut parser = Parser::default();
    let mut number = 0usize;
    if file.is_empty() {
        return Err(PolicyError { line: 1, kind: Kind::NoQuorum });
    }
    for line in file.strip_suffix(b"\n").unwrap_or(file).split(|&b| b == b'\n') {
        number = number.saturating_add(1);
        parser.line(line).map_err(|kind| PolicyError { line: number, kind })?;
    }
    match parser.quorum {
        Some(quorum) => {
            let Parser { logs, witnesses, groups, .. } = parser;
            Ok(Policy { logs, witnesses, groups, quorum })
        }
        None => Err(PolicyError { line: number.saturating_add(1), kind: Kind::NoQuorum }),
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    log_keys: BTreeSet<Vec<u8>>,
    witness_keys: BTreeSet<Vec<u8>>,
    names: BTreeMap<Name, Member>,
    members: BTreeSet<Member>,
}

impl Parser {
    fn line(&mut self, line: &[u8]) -> Result<(), Kind> {
        if let Some(&bad) = line.iter().find(|&&b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(Kind::BadOctet(bad));
        }
        let mut items = line.split(|&b| b == b' ' || b == b'\t').filter(|item| !item.is_empty());
        match items.next() {
            None => Ok(()),
            Some(comment) if comment.starts_with(b"#") => Ok(()),
            Some(b"log") => self.log(items),
            Some(b"witness") => self.witness(items),
            Some(b"group") => self.group(items),
            Some(b"quorum") => self.quorum(items),
            Some(_) => Err(Kind::UnknownKeyword),
        }
    }

    fn log<'a>(&mut self, mut items: impl Iterator<Item = &'a [u8]>) -> Result<(), Kind> {
        let (Some(vkey), url, None) = (items.next(), items.next(), items.next()) else {
            return Err(Kind::WrongItems);
        };
        let vkey = parse_vkey(vkey)?;
        match vkey.key() {
            PublicKey::Ed25519(_) | PublicKey::MlDsa44Cosigner(_) => {}
            // A cosignature of this type is a witness's statement; accepting it from a log would let one key be both.
            PublicKey::Ed25519Cosigner(_) => return Err(Kind::WrongKeyType(vkey.key().signature_type())),
        }
        if !self.log_keys.insert(vkey.key().material()) {
            return Err(Kind::DuplicateKey);
        }
        push(&mut self.logs, Log { vkey, url: url.map(<[u8]>::to_vec) })
    }

    fn witness<'a>(&mut self, mut items: impl Iterator<Item = &'a [u8]>) -> Result<(), Kind> {
        let (Some(name), Some(vkey), url, None) = (items.next(), items.next(), items.next(), items.next())
        else {
            return Err(Kind::WrongItems);
        };
        let vkey = parse_vkey(vkey)?;
        if !vkey.key().is_cosigner() {
            return Err(Kind::WrongKeyType(vkey.key().signature_type()));
        }
        if !self.witness_keys.insert(vkey.key().material()) {
            return Err(Kind::DuplicateKey);
        }
        let name = self.define(name, Member::Witness(self.witnesses.len()))?;
        push(&mut self.witnesses, Witness { name, vkey, url: url.map(<[u8]>::to_vec) })
    }

    fn group<'a>(&mut self, mut items: impl Iterator<Item = &'a [u8]>) -> Result<(), Kind> {
        let (Some(name), Some(threshold)) = (items.next(), items.next()) else {
            return Err(Kind::WrongItems);
        };
        let mut members = Vec::new();
        for item in items {
            let member = self.defined(item)?;
            if !self.members.insert(member) {
                return Err(Kind::DuplicateMember(Name(item.to_vec())));
            }
            members.push(member);
        }
        if members.is_empty() {
            return Err(Kind::WrongItems);
        }
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => core::str::from_utf8(number)
                .ok()
                .and_then(text::parse_decimal)
                .and_then(|k| usize::try_from(k).ok())
                .filter(|k| (1..=members.len()).contains(k))
                .ok_or(Kind::BadThreshold)?,
        };
        let name = self.define(name, Member::Group(self.groups.len()))?;
        push(&mut self.groups, Group { name, threshold, members })
    }

    fn quorum<'a>(&mut self, mut items: impl Iterator<Item = &'a [u8]>) -> Result<(), Kind> {
        let (Some(name), None) = (items.next(), items.next()) else {
            return Err(Kind::WrongItems);
        };
        let quorum = if name == b"none" { Quorum::None } else { Quorum::Of(self.defined(name)?) };
        match self.quorum.replace(quorum) {
            None => Ok(()),
            Some(_) => Err(Kind::SecondQuorum),
        }
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<Name, Kind> {
        if name == b"none" {
            return Err(Kind::ReservedName);
        }
        let name = Name(name.to_vec());
        match self.names.insert(name.clone(), member) {
            None => Ok(name),
            Some(_) => Err(Kind::DuplicateName(name)),
        }
    }

    fn defined(&self, name: &[u8]) -> Result<Member, Kind> {
        if name == b"none" {
            return Err(Kind::ReservedName);
        }
        let name = Name(name.to_vec());
        self.names.get(&name).copied().ok_or(Kind::Undefined(name))
    }
}

fn parse_vkey(vkey: &[u8]) -> Result<Vkey, Kind> {
    let vkey = core::str::from_utf8(vkey).map_err(|_| VkeyError::NotThreeParts)?;
    Ok(Vkey::parse(vkey)?)
}

fn push<T>(lines: &mut Vec<T>, line: T) -> Result<(), Kind> {
    if lines.len() >= MAX_LINES_OF_A_KIND {
        return Err(Kind::TooMany);
    }
    lines.push(line);
    Ok(())
}
