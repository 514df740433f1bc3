//! Files cut into the messages of an upload.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::call::Defaults;
use crate::channel::{Channel, Stubs, with_deadline, within};
use crate::v1::{UploadFileMetadata, UploadFileRequest, upload_file_request::Payload};
use crate::{Error, v1};

const CHUNK_BYTES: usize = 256 * 1024;

type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A file to upload, and what is said of it.
#[must_use = "`Client::upload_file` uploads it"]
pub struct Upload {
    source: Source,
    metadata: UploadFileMetadata,
}

enum Source {
    Bytes(Vec<u8>),
    Path(PathBuf),
    Reader(Reader, u64),
}

impl Upload {
    /// These bytes.
    pub fn bytes(mime_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(mime_type, Source::Bytes(bytes.into()))
    }

    /// The file at this path. It is opened when the call begins.
    pub fn path(mime_type: impl Into<String>, path: impl AsRef<Path>) -> Self {
        Self::new(mime_type, Source::Path(path.as_ref().to_owned()))
    }

    /// What a reader gives, which must be `size_bytes` bytes.
    pub fn reader(
        mime_type: impl Into<String>,
        size_bytes: u64,
        reader: impl AsyncRead + Send + 'static,
    ) -> Self {
        Self::new(mime_type, Source::Reader(Box::pin(reader), size_bytes))
    }

    /// A name for people, at most 512 characters.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.metadata.display_name = name.into();
        self
    }

    /// `files/…`. Without it upstream chooses.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.metadata.name = name.into();
        self
    }

    fn new(mime_type: impl Into<String>, source: Source) -> Self {
        Self {
            source,
            metadata: UploadFileMetadata {
                mime_type: mime_type.into(),
                ..UploadFileMetadata::default()
            },
        }
    }

    /// Makes the call.
    pub(crate) async fn send(self, channel: Channel, options: Defaults) -> Result<v1::File, Error> {
        let deadline = options.deadline();
        let (pieces, outgoing) = mpsc::channel(1);
        let request = with_deadline(ReceiverStream::new(outgoing), deadline);
        let mut stubs = Stubs::new(&channel);
        within(deadline, async {
            let answered = stubs.files.upload_file(request);
            tokio::pin!(answered);
            // Read here: a stream of requests has no way to say that reading failed.
            let answered = tokio::select! {
                answered = &mut answered => answered,
                read = self.write(pieces) => {
                    read?;
                    answered.await
                }
            };
            Ok(answered?.into_inner().file.unwrap_or_default())
        })
        .await?
    }

    /// Writes the messages, until the call wants no more.
    async fn write(self, pieces: mpsc::Sender<UploadFileRequest>) -> Result<(), Error> {
        let Self {
            source,
            mut metadata,
        } = self;
        let unreadable = |error| Error::unusable("the file cannot be read", error);
        let (mut reader, size) = source.open().await.map_err(unreadable)?;
        metadata.size_bytes = size.try_into().unwrap_or(i64::MAX);
        let mut payload = Payload::Metadata(metadata);
        loop {
            let piece = UploadFileRequest {
                payload: Some(payload),
            };
            if pieces.send(piece).await.is_err() {
                return Ok(());
            }
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut limited = (&mut reader).take(CHUNK_BYTES as u64);
            limited.read_to_end(&mut chunk).await.map_err(unreadable)?;
            if chunk.is_empty() {
                return Ok(());
            }
            payload = Payload::Chunk(chunk);
        }
    }
}

impl Source {
    async fn open(self) -> io::Result<(Reader, u64)> {
        Ok(match self {
            Self::Bytes(bytes) => {
                let size = bytes.len() as u64;
                (Box::pin(io::Cursor::new(bytes)), size)
            }
            Self::Path(path) => {
                let file = File::open(path).await?;
                let size = file.metadata().await?.len();
                (Box::pin(file), size)
            }
            Self::Reader(reader, size) => (reader, size),
        })
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
