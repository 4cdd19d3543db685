//! Reading and writing the TLS presentation language, in the draft's variant ("Presentation Language").
//!
//! The one departure from RFC 8446: a vector's length prefix counts *elements*, not bytes. For `opaque` the two agree.

use thiserror::Error;

use crate::config::DeploymentMode;

/// Why bytes are not the encoding of a structure, or why a structure has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The input ends inside a field.
    #[error("the structure is truncated")]
    Truncated,
    /// The input goes on after the structure.
    #[error("bytes follow the structure")]
    TrailingBytes,
    /// A presence octet is neither 0 nor 1.
    #[error("a presence octet is neither 0 nor 1")]
    Presence,
    /// An enumeration has no such value.
    #[error("an enumeration has no such value")]
    Enumeration,
    /// A vector has more elements than its length prefix can say.
    #[error("a vector is longer than its type allows")]
    TooLong,
}

/// What a decoder must know that is not in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// `Configuration.mode` of the log.
    pub mode: DeploymentMode,
    /// Whether the `SearchRequest` that a `SearchResponse` answers named a version.
    pub version_requested: bool,
}

impl Context {
    /// The context of a log in `mode`, for everything but the answer to a fixed-version search.
    #[must_use]
    pub fn new(mode: DeploymentMode) -> Self {
        Self { mode, version_requested: false }
    }
}

/// A structure with a wire format.
pub trait Wire: Sized {
    /// Appends the encoding.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    fn write(&self, w: &mut Writer) -> Result<(), WireError>;

    /// Reads one structure from the front of `r`.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    fn read(r: &mut Reader<'_>) -> Result<Self, WireError>;

    /// The encoding of the structure alone.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut w = Writer::default();
        self.write(&mut w)?;
        Ok(w.0)
    }

    /// Decodes `bytes`, all of them.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes; [`WireError::TrailingBytes`] if some are left.
    fn decode(bytes: &[u8], context: Context) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes, context);
        let value = Self::read(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}

/// How many bytes a vector's length prefix takes: as many as its greatest length needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// `<0..2^8-1>`
    U8,
    /// `<0..2^16-1>`
    U16,
    /// `<0..2^32-1>`
    U32,
}

/// The rest of an encoded structure.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    context: Context,
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], context: Context) -> Self {
        Self { rest: bytes, context }
    }

    /// What the decoder was told.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`WireError::TrailingBytes`].
    pub fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::TrailingBytes) }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A `uint8`.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    /// A `uint16`.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A `uint32`.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A `uint64`.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    fn length(&mut self, prefix: Prefix) -> Result<usize, WireError> {
        match prefix {
            Prefix::U8 => self.u8().map(usize::from),
            Prefix::U16 => self.u16().map(usize::from),
            Prefix::U32 => self.u32().and_then(|n| usize::try_from(n).map_err(|_| WireError::Truncated)),
        }
    }

    /// An `opaque` vector.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    pub fn opaque(&mut self, prefix: Prefix) -> Result<Vec<u8>, WireError> {
        let length = self.length(prefix)?;
        self.take(length).map(<[u8]>::to_vec)
    }

    /// A vector of elements that `read` reads. Each must take at least one byte, so that the memory used is bounded
    /// by the input's length whatever the prefix claims.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn vector<T>(
        &mut self,
        prefix: Prefix,
        mut read: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let length = self.length(prefix)?;
        let mut elements = Vec::with_capacity(length.min(self.remaining() / 8));
        for _ in 0..length {
            if self.rest.is_empty() {
                return Err(WireError::Truncated);
            }
            elements.push(read(self)?);
        }
        Ok(elements)
    }

    /// An `optional` value.
    ///
    /// # Errors
    /// [`WireError::Presence`], or those of `read`.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(WireError::Presence),
        }
    }
}

/// An encoding under construction.
#[derive(Debug, Clone, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Appends bytes without a length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a `uint8`.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Appends a `uint16`.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends a `uint32`.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends a `uint64`.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    fn length(&mut self, prefix: Prefix, length: usize) -> Result<(), WireError> {
        match prefix {
            Prefix::U8 => self.u8(u8::try_from(length).map_err(|_| WireError::TooLong)?),
            Prefix::U16 => self.u16(u16::try_from(length).map_err(|_| WireError::TooLong)?),
            Prefix::U32 => self.u32(u32::try_from(length).map_err(|_| WireError::TooLong)?),
        }
        Ok(())
    }

    /// Appends an `opaque` vector.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn opaque(&mut self, prefix: Prefix, bytes: &[u8]) -> Result<(), WireError> {
        self.length(prefix, bytes.len())?;
        self.bytes(bytes);
        Ok(())
    }

    /// Appends a vector, each element by `write`.
    ///
    /// # Errors
    /// [`WireError::TooLong`], or those of `write`.
    pub fn vector<T>(
        &mut self,
        prefix: Prefix,
        elements: &[T],
        mut write: impl FnMut(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.length(prefix, elements.len())?;
        elements.iter().try_for_each(|element| write(self, element))
    }

    /// Appends an `optional` value.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn optional<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        match value {
            None => {
                self.u8(0);
                Ok(())
            }
            Some(value) => {
                self.u8(1);
                write(self, value)
            }
        }
    }
}
