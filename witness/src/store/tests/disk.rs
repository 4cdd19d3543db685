//! A disk that remembers every operation, so that it can be shown as a loss of power at any moment would leave it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use redb::StorageBackend;

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    /// How many operations succeed before the disk is full, if it will be.
    room: Option<usize>,
}

/// A disk in memory. Its clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

/// What became of the operations that were not synced when power was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Dropped,
    Kept,
    /// Every second one was kept, from this one on.
    EverySecond(usize),
    /// All were kept, but of the last write only half, in sectors.
    Torn,
    /// Only the last one was kept.
    OnlyLast,
}

impl Fate {
    pub(super) const ALL: [Self; 6] =
        [Self::Dropped, Self::Kept, Self::EverySecond(0), Self::EverySecond(1), Self::Torn, Self::OnlyLast];
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Sync => {}
        Operation::SetLen(length) => bytes.resize(*length as usize, 0),
        Operation::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(data);
        }
    }
}

/// The write with every second sector missing.
fn torn(operation: &Operation) -> Vec<Operation> {
    let Operation::Write(offset, data) = operation else { return vec![operation.clone()] };
    if data.len() <= 512 {
        // Even a sector may be half written; the database's header is this small.
        return vec![Operation::Write(*offset, data[..data.len() / 2].to_vec())];
    }
    let sectors = data.chunks(512).enumerate().filter(|(index, _)| index % 2 == 0);
    sectors.map(|(index, sector)| Operation::Write(offset + 512 * index as u64, sector.to_vec())).collect()
}

impl Disk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { bytes, ..Inner::default() })))
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.0.lock().unwrap().operations.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().bytes.is_empty()
    }

    /// Is full after this many more operations; `None` makes room again.
    pub(super) fn set_room(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }

    fn operate(&self, operation: Operation) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        match &mut inner.room {
            Some(0) => return Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(room) => *room -= 1,
            None => {}
        }
        apply(&mut inner.bytes, &operation);
        inner.operations.push(operation);
        Ok(())
    }
}

/// What is on the disk if power is lost after the first operations of `operations`, up to `end`.
pub(super) fn after_power_loss(operations: &[Operation], end: usize, fate: Fate) -> Vec<u8> {
    let synced = operations[..end].iter().rposition(|o| matches!(o, Operation::Sync)).map_or(0, |at| at + 1);
    let mut bytes = Vec::new();
    operations[..synced].iter().for_each(|operation| apply(&mut bytes, operation));
    let unsynced = &operations[synced..end];
    let kept: Vec<Operation> = match fate {
        Fate::Dropped => Vec::new(),
        Fate::Kept => unsynced.to_vec(),
        Fate::EverySecond(from) => unsynced.iter().skip(from).step_by(2).cloned().collect(),
        Fate::OnlyLast => unsynced.last().cloned().into_iter().collect(),
        Fate::Torn => match unsynced.split_last() {
            None => Vec::new(),
            Some((last, before)) => before.iter().cloned().chain(torn(last)).collect(),
        },
    };
    kept.iter().for_each(|operation| apply(&mut bytes, operation));
    bytes
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock().unwrap();
        let bytes = inner.bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate(Operation::SetLen(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(Operation::Write(offset, data.to_vec()))
    }
}
