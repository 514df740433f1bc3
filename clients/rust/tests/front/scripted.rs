//! A gRPC server that does with each call what its script says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use contextbridge_client::tonic::{Code, Status};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What is done with a call.
pub struct Reply {
    messages: Vec<Vec<u8>>,
    end: End,
}

enum End {
    Status(Box<Status>),
    /// The connection is lost.
    Cut,
    /// The stream is reset.
    Reset(Reason),
    /// Nothing more is sent.
    Open,
}

impl Reply {
    pub fn of(messages: impl Into<Vec<Vec<u8>>>) -> Self {
        let end = End::Status(Box::new(Status::new(Code::Ok, "")));
        Self {
            messages: messages.into(),
            end,
        }
    }

    pub fn one(message: &impl Message) -> Self {
        Self::of([message.encode_to_vec()])
    }

    pub fn nothing() -> Self {
        Self::of([])
    }

    pub fn then_fail(mut self, status: Status) -> Self {
        self.end = End::Status(Box::new(status));
        self
    }

    pub fn then_cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    pub fn then_reset(mut self, reason: Reason) -> Self {
        self.end = End::Reset(reason);
        self
    }

    pub fn then_stay_open(mut self) -> Self {
        self.end = End::Open;
        self
    }
}

/// A call that was made.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    messages: Vec<Bytes>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn request<M: Message + Default>(&self) -> M {
        M::decode(self.messages[0].clone()).unwrap()
    }

    pub fn requests<M: Message + Default>(&self) -> Vec<M> {
        let decode = |message: &Bytes| M::decode(message.clone()).unwrap();
        self.messages.iter().map(decode).collect()
    }
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    calls: Mutex<Vec<Call>>,
    resets: mpsc::UnboundedSender<Reason>,
    cut: watch::Sender<()>,
}

pub struct Server {
    address: SocketAddr,
    script: Arc<Script>,
    resets: mpsc::UnboundedReceiver<Reason>,
}

impl Server {
    /// Serves until the test's runtime ends. A call beyond the script fails with `ABORTED`.
    pub async fn start(replies: impl Into<VecDeque<Reply>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, resets) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            replies: Mutex::new(replies.into()),
            calls: Mutex::default(),
            resets: seen,
            cut: watch::channel(()).0,
        });
        tokio::spawn(accept(listener, script.clone()));
        Self {
            address,
            script,
            resets,
        }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Loses all connections that are open.
    pub fn cut(&self) {
        self.script.cut.send_replace(());
    }

    /// The calls so far, which are forgotten.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.script.calls.lock().unwrap())
    }

    /// Why the caller reset a call, once one has.
    pub async fn reset(&mut self) -> Reason {
        self.resets.recv().await.unwrap()
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    for number in 0.. {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(socket, number, script.clone()));
    }
}

async fn serve(socket: TcpStream, number: usize, script: Arc<Script>) {
    let mut cut = script.cut.subscribe();
    let mut connection: Connection<_, Bytes> = h2::server::handshake(socket).await.unwrap();
    let (lose, mut losing) = mpsc::channel(1);
    loop {
        let (request, respond) = tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok(accepted)) => accepted,
                Some(Err(_)) | None => return,
            },
            _ = cut.changed() => return,
            _ = losing.recv() => return,
        };
        tokio::spawn(answer(
            request,
            respond,
            number,
            script.clone(),
            lose.clone(),
        ));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    script: Arc<Script>,
    lose: mpsc::Sender<()>,
) {
    let (head, body) = request.into_parts();
    let Some(messages) = read(body).await else {
        script.resets.send(Reason::CANCEL).unwrap();
        return;
    };
    script.calls.lock().unwrap().push(Call {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        messages,
        connection,
    });
    let reply = script.replies.lock().unwrap().pop_front();
    let beyond = || Reply::nothing().then_fail(Status::aborted("the script has ended"));
    let reply = reply.unwrap_or_else(beyond);
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    if matches!(reply.end, End::Cut) && reply.messages.is_empty() {
        lose.send(()).await.unwrap();
        // Until then the call is open: its end would reset it.
        lose.closed().await;
        return;
    }
    let Ok(mut stream) = respond.send_response(response, false) else {
        return;
    };
    for message in reply.messages {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.put_slice(&message);
        stream.send_data(framed.freeze(), false).unwrap();
    }
    match reply.end {
        End::Status(status) => {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            stream.send_trailers(trailers).unwrap();
        }
        End::Reset(reason) => stream.send_reset(reason),
        End::Cut => unreachable!("the test cuts after it has read what came"),
        End::Open => {
            if let Ok(reason) = std::future::poll_fn(|cx| stream.poll_reset(cx)).await {
                script.resets.send(reason).unwrap();
            }
        }
    }
}

/// The messages of a request. `None` where the caller left before its end.
async fn read(mut body: RecvStream) -> Option<Vec<Bytes>> {
    let mut data = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    let mut messages = Vec::new();
    while !data.is_empty() {
        let head = data.split_to(5);
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        messages.push(data.split_to(length as usize).freeze());
    }
    Some(messages)
}
