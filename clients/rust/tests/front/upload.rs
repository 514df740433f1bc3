use std::error::Error as _;
use std::io::Cursor;

use contextbridge_client::Upload;
use contextbridge_client::tonic::{Code, Status};
use contextbridge_client::v1::{
    File, UploadFileMetadata, UploadFileRequest, UploadFileResponse, upload_file_request::Payload,
};

use crate::client_of;
use crate::scripted::{Reply, Server};

fn uploaded() -> Reply {
    Reply::one(&UploadFileResponse {
        file: Some(File {
            name: "files/a".into(),
            ..Default::default()
        }),
    })
}

/// What a call said of the file, and the sizes of the pieces that it came in.
fn sent(server: &Server) -> (UploadFileMetadata, Vec<usize>) {
    let [call] = server.calls().try_into().ok().unwrap();
    let mut payloads = call.requests::<UploadFileRequest>().into_iter();
    let Some(Payload::Metadata(metadata)) = payloads.next().unwrap().payload else {
        panic!("the first message says what the file is");
    };
    let size = |request: UploadFileRequest| match request.payload {
        Some(Payload::Chunk(chunk)) => chunk.len(),
        other => panic!("{other:?} is no piece"),
    };
    (metadata, payloads.map(size).collect())
}

#[tokio::test]
async fn a_file_goes_in_pieces() {
    let server = Server::start([uploaded(), uploaded(), uploaded()]).await;
    let client = client_of(&server);
    let bytes = vec![7; 600 * 1024];
    let pieces = [256 * 1024, 256 * 1024, 88 * 1024];

    let upload = Upload::bytes("text/plain", bytes.clone()).display_name("Log");
    let file = client.upload_file(upload.name("files/a")).await.unwrap();
    assert_eq!(file.name, "files/a");
    let (metadata, sizes) = sent(&server);
    assert_eq!(sizes, pieces);
    let said = UploadFileMetadata {
        mime_type: "text/plain".into(),
        size_bytes: 600 * 1024,
        display_name: "Log".into(),
        name: "files/a".into(),
    };
    assert_eq!(metadata, said);

    let reader = Upload::reader("text/plain", 600 * 1024, Cursor::new(bytes));
    client.upload_file(reader).await.unwrap();
    assert_eq!(sent(&server).1, pieces);

    let here = Upload::path("text/x-rust", file!());
    client.upload_file(here).await.unwrap();
    let (metadata, sizes) = sent(&server);
    assert_eq!(
        metadata.size_bytes,
        i64::try_from(sizes.iter().sum::<usize>()).unwrap()
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_the_callers() {
    let server = Server::start([]).await;

    let missing = Upload::path("text/plain", "/there/is/none");
    let error = client_of(&server).upload_file(missing).await.unwrap_err();

    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.source().unwrap().is::<std::io::Error>());
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn an_upload_fails_as_the_server_says() {
    let refused = Reply::nothing().then_fail(Status::permission_denied("no"));
    let server = Server::start([refused]).await;

    let upload = Upload::bytes("text/plain", "text");
    let error = client_of(&server).upload_file(upload).await.unwrap_err();

    assert_eq!(error.code(), Code::PermissionDenied);
}
