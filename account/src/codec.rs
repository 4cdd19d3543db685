//! Reading and writing the presentation language of TLS (RFC 8446 section 3), strictly.

use thiserror::Error;

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("the encoding is truncated")]
    Truncated,
    /// Bytes are left over after the last field.
    #[error("the encoding has trailing bytes")]
    TrailingBytes,
    /// A vector is longer or shorter than its definition allows.
    #[error("a vector has {len} elements, of {min} to {max} allowed")]
    VectorLength {
        /// Elements that were announced.
        len: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// The first byte names a format that this code does not know.
    #[error("format {0} is not known")]
    UnknownFormat(u8),
    /// An enumeration has a value that is not assigned.
    #[error("{0} is not a value of its enumeration")]
    UnknownVariant(u8),
    /// The presence byte of an optional field is neither 0 nor 1.
    #[error("{0} is not a presence byte")]
    BadPresence(u8),
}

/// Takes fields off the front of an encoding. Nothing is allocated before its length is known to be present.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet taken.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes a fixed-length field.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.bytes(N)?.try_into().map_err(|_| CodecError::Truncated)
    }

    /// Takes a `uint8`.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes a `uint16`.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a `uint32`.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a `uint64`.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes the format number that starts every structure.
    ///
    /// # Errors
    /// [`CodecError::UnknownFormat`] if it is not `expected`.
    pub fn format(&mut self, expected: u8) -> Result<(), CodecError> {
        match self.u8()? {
            format if format == expected => Ok(()),
            format => Err(CodecError::UnknownFormat(format)),
        }
    }

    /// Takes `opaque field<min..max>` with a one-byte length.
    ///
    /// # Errors
    /// [`CodecError::VectorLength`] or [`CodecError::Truncated`].
    pub fn opaque8(&mut self, min: usize, max: usize) -> Result<&'a [u8], CodecError> {
        let len = self.count8(min, max)?;
        self.bytes(len)
    }

    /// Takes the one-byte number of elements of a vector.
    ///
    /// # Errors
    /// [`CodecError::VectorLength`] or [`CodecError::Truncated`].
    pub fn count8(&mut self, min: usize, max: usize) -> Result<usize, CodecError> {
        bounded(usize::from(self.u8()?), min, max)
    }

    /// Takes the two-byte number of elements of a vector.
    ///
    /// # Errors
    /// [`CodecError::VectorLength`] or [`CodecError::Truncated`].
    pub fn count16(&mut self, min: usize, max: usize) -> Result<usize, CodecError> {
        bounded(usize::from(self.u16()?), min, max)
    }

    /// Takes an `optional` field: a presence byte, then the value if it is 1.
    ///
    /// # Errors
    /// [`CodecError::BadPresence`], or what `value` answers.
    pub fn optional<T, E: From<CodecError>>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        match self.u8()? {
            0 => Ok(None),
            1 => value(self).map(Some),
            presence => Err(CodecError::BadPresence(presence).into()),
        }
    }

    /// Ends the structure.
    ///
    /// # Errors
    /// [`CodecError::TrailingBytes`] if bytes are left.
    pub fn end(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::TrailingBytes) }
    }
}

fn bounded(len: usize, min: usize, max: usize) -> Result<usize, CodecError> {
    if (min..=max).contains(&len) { Ok(len) } else { Err(CodecError::VectorLength { len, min, max }) }
}

/// Appends fields to an encoding.
///
/// Lengths that do not fit their prefix are saturated: the result then does not decode. Every public constructor
/// bounds its vectors first, so this happens only to structures whose public fields were filled beyond their bounds.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty encoding.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Appends a `uint8`.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a `uint16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a `uint32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a `uint64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends the one-byte number of elements of a vector.
    pub fn count8(&mut self, len: usize) -> &mut Self {
        self.u8(u8::try_from(len).unwrap_or(u8::MAX))
    }

    /// Appends the two-byte number of elements of a vector.
    pub fn count16(&mut self, len: usize) -> &mut Self {
        self.u16(u16::try_from(len).unwrap_or(u16::MAX))
    }

    /// Appends `opaque field<..2^8-1>`.
    pub fn opaque8(&mut self, bytes: &[u8]) -> &mut Self {
        self.count8(bytes.len()).bytes(bytes)
    }

    /// Appends `opaque field<..2^16-1>`.
    pub fn opaque16(&mut self, bytes: &[u8]) -> &mut Self {
        self.count16(bytes.len()).bytes(bytes)
    }

    /// Appends an `optional` field.
    pub fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
                self
            }
        }
    }

    /// The encoding.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}
