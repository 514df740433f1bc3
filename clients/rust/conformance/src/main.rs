//! The conformance runner: does what each case of a plan says, and reports what came.
//!
//! `clients/conformance/README.md` describes plan and report.

use std::error::Error as StdError;
use std::io::Write;
use std::time::Duration;
use std::{env, fs};

use base64::prelude::{BASE64_STANDARD, Engine};
use contextbridge_client::{
    AnswerStream, Call, Client, Error, Generation, List, Resume, Tls, Upload, v1,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn StdError>>;

#[derive(Deserialize)]
struct Plan {
    protoset: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    connect: Connect,
    call: String,
    request: Value,
    upload: Option<String>,
    #[serde(default)]
    read: Read,
    timeout: Option<f64>,
    cancel_after: Option<usize>,
    resume: Option<bool>,
}

#[derive(Deserialize)]
struct Connect {
    target: String,
    token: Option<String>,
    #[serde(default)]
    insecure_token: bool,
    ca_file: Option<String>,
    server_name: Option<String>,
    keepalive: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Read {
    #[default]
    Events,
    Text,
    Answer,
}

#[derive(Default, Serialize)]
struct Report {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<DynamicMessage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    texts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<DynamicMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancelled: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let path = env::args().nth(1).ok_or("usage: conformance PLAN")?;
    let plan: Plan = serde_json::from_slice(&fs::read(path)?)?;
    let pool = DescriptorPool::decode(fs::read(&plan.protoset)?.as_slice())?;
    for case in plan.cases {
        let name = case.name.clone();
        let report = run(&pool, case)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        let mut line = serde_json::to_string(&report)?;
        line.push('\n');
        std::io::stdout().write_all(line.as_bytes())?;
    }
    Ok(())
}

async fn run(pool: &DescriptorPool, case: Case) -> Outcome<Report> {
    let runner = Runner {
        method: method(pool, &case.call)?,
        report: Report {
            name: case.name.clone(),
            ..Report::default()
        },
        case,
    };
    match connect(&runner.case.connect) {
        Ok(client) => runner.call(client).await,
        Err(error) => Ok(runner.failed(&error)),
    }
}

fn method(pool: &DescriptorPool, name: &str) -> Outcome<MethodDescriptor> {
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .find(|method| method.name() == name)
        .ok_or_else(|| format!("the API has no {name}").into())
}

fn connect(connect: &Connect) -> Result<Client, Error> {
    let mut builder = Client::builder(&connect.target).insecure_token(connect.insecure_token);
    if let Some(token) = connect.token.as_deref() {
        builder = builder.token(token);
    }
    if let Some(ca_file) = &connect.ca_file {
        let tls = Tls::new().ca_file(ca_file);
        builder = builder.tls(match &connect.server_name {
            Some(name) => tls.server_name(name),
            None => tls,
        });
    }
    if let Some(seconds) = connect.keepalive {
        builder = builder.keepalive(Duration::from_secs_f64(seconds));
    }
    builder.build()
}

/// The response of a method, as it is reported.
fn reported(method: &MethodDescriptor, response: &impl Message) -> Outcome<DynamicMessage> {
    let mut reported = DynamicMessage::new(method.output());
    reported.transcode_from(response)?;
    Ok(reported)
}

/// What wraps again what the front has unwrapped.
macro_rules! wrap {
    ($response:ident.$field:ident) => {
        |unwrapped| {
            let mut response = v1::$response::default();
            response.$field = unwrapped.into();
            response
        }
    };
}

/// A case on its way.
struct Runner {
    case: Case,
    method: MethodDescriptor,
    report: Report,
}

impl Runner {
    #[expect(clippy::too_many_lines, reason = "an arm for each call of the API")]
    async fn call(self, client: Client) -> Outcome<Report> {
        match self.case.call.as_str() {
            "CreateContext" => {
                let request = self.request()?;
                self.unary(client.create_context(request), |r| r).await
            }
            "GetContext" => {
                let request: v1::GetContextRequest = self.request()?;
                self.unary(
                    client.get_context(request.id),
                    wrap!(GetContextResponse.context),
                )
                .await
            }
            "ListContexts" => {
                let request = self.request()?;
                self.list(
                    client.list_contexts(request),
                    wrap!(ListContextsResponse.contexts),
                )
                .await
            }
            "UpdateContext" => {
                let request = self.request()?;
                self.unary(
                    client.update_context(request),
                    wrap!(UpdateContextResponse.context),
                )
                .await
            }
            "DeleteContext" => {
                let request: v1::DeleteContextRequest = self.request()?;
                self.unary(client.delete_context(request.id), |()| {
                    v1::DeleteContextResponse {}
                })
                .await
            }
            "ChatWithContext" => {
                let request = self.request()?;
                self.stream(client.chat(request), "CompleteChatWithContext")
                    .await
            }
            "CompleteChatWithContext" => {
                let request = self.request()?;
                self.unary(client.complete_chat(request), |r| r).await
            }
            "GenerateContent" => {
                let request = self.request()?;
                self.unary(client.generate_content(request), |r| r).await
            }
            "StreamGenerateContent" => {
                let request = self.request()?;
                self.stream(client.stream_generate_content(request), "GenerateContent")
                    .await
            }
            "CountTokens" => {
                let request = self.request()?;
                self.unary(client.count_tokens(request), |r| r).await
            }
            "CreateCachedContent" => {
                let request = self.request()?;
                self.unary(
                    client.create_cached_content(request),
                    wrap!(CreateCachedContentResponse.cached_content),
                )
                .await
            }
            "GetCachedContent" => {
                let request: v1::GetCachedContentRequest = self.request()?;
                self.unary(
                    client.get_cached_content(request.name),
                    wrap!(GetCachedContentResponse.cached_content),
                )
                .await
            }
            "ListCachedContents" => {
                let request = self.request()?;
                self.list(
                    client.list_cached_contents(request),
                    wrap!(ListCachedContentsResponse.cached_contents),
                )
                .await
            }
            "UpdateCachedContent" => {
                let request = self.request()?;
                self.unary(
                    client.update_cached_content(request),
                    wrap!(UpdateCachedContentResponse.cached_content),
                )
                .await
            }
            "DeleteCachedContent" => {
                let request: v1::DeleteCachedContentRequest = self.request()?;
                self.unary(client.delete_cached_content(request.name), |()| {
                    v1::DeleteCachedContentResponse {}
                })
                .await
            }
            "UploadFile" => {
                let upload = self.upload()?;
                self.unary(client.upload_file(upload), wrap!(UploadFileResponse.file))
                    .await
            }
            "GetFile" => {
                let request: v1::GetFileRequest = self.request()?;
                self.unary(client.get_file(request.name), wrap!(GetFileResponse.file))
                    .await
            }
            "ListFiles" => {
                let request = self.request()?;
                self.list(client.list_files(request), wrap!(ListFilesResponse.files))
                    .await
            }
            "DeleteFile" => {
                let request: v1::DeleteFileRequest = self.request()?;
                self.unary(client.delete_file(request.name), |()| {
                    v1::DeleteFileResponse {}
                })
                .await
            }
            "DeleteCachedResponses" => {
                let request = self.request()?;
                self.unary(
                    client.delete_cached_responses(request),
                    wrap!(DeleteCachedResponsesResponse.deleted_count),
                )
                .await
            }
            "GetResponseCacheStatistics" => {
                let call = client.get_response_cache_statistics();
                self.unary(call, wrap!(GetResponseCacheStatisticsResponse.statistics))
                    .await
            }
            other => Err(format!("the front has no {other}").into()),
        }
    }

    fn request<M: Message + Default>(&self) -> Outcome<M> {
        let request = DynamicMessage::deserialize(self.method.input(), &self.case.request)?;
        Ok(request.transcode_to()?)
    }

    /// The upload of a case, whose request is the metadata.
    fn upload(&self) -> Outcome<Upload> {
        let descriptor = self.method.input();
        let metadata = descriptor.get_field_by_name("metadata").ok_or("metadata")?;
        let metadata = metadata.kind().as_message().ok_or("metadata")?.clone();
        let metadata = DynamicMessage::deserialize(metadata, &self.case.request)?;
        let metadata: v1::UploadFileMetadata = metadata.transcode_to()?;
        let bytes = BASE64_STANDARD.decode(self.case.upload.as_deref().unwrap_or_default())?;
        Ok(Upload::bytes(metadata.mime_type, bytes)
            .display_name(metadata.display_name)
            .name(metadata.name))
    }

    fn reported(&self, response: &impl Message) -> Outcome<DynamicMessage> {
        reported(&self.method, response)
    }

    fn timeout(&self) -> Option<Duration> {
        self.case.timeout.map(Duration::from_secs_f64)
    }

    fn resume(&self) -> Option<Resume> {
        (self.case.resume == Some(false)).then_some(Resume::OFF)
    }

    async fn unary<T, M: Message>(mut self, call: Call<T>, wrap: fn(T) -> M) -> Outcome<Report> {
        let call = match self.timeout() {
            Some(timeout) => call.timeout(timeout),
            None => call,
        };
        let call = match self.resume() {
            Some(resume) => call.resume(resume),
            None => call,
        };
        match call.await {
            Ok(answer) => self.report.response = Some(self.reported(&wrap(answer))?),
            Err(error) => return Ok(self.failed(&error)),
        }
        Ok(self.report)
    }

    async fn list<T: Unpin, M: Message>(
        mut self,
        list: List<T>,
        wrap: fn(Vec<T>) -> M,
    ) -> Outcome<Report> {
        let list = match self.timeout() {
            Some(timeout) => list.timeout(timeout),
            None => list,
        };
        match list.all().await {
            Ok(all) => self.report.response = Some(self.reported(&wrap(all))?),
            Err(error) => return Ok(self.failed(&error)),
        }
        Ok(self.report)
    }

    /// Reads a stream, whose whole answer is the response of its unary `twin`.
    async fn stream<G>(mut self, mut stream: AnswerStream<G>, twin: &str) -> Outcome<Report>
    where
        G: Generation<Event: Message, Answer: Message>,
    {
        if let Some(timeout) = self.timeout() {
            stream = stream.timeout(timeout);
        }
        if let Some(resume) = self.resume() {
            stream = stream.resume(resume);
        }
        match self.case.read {
            Read::Events => {
                let mut events = Vec::new();
                while self.case.cancel_after != Some(events.len()) {
                    match stream.next().await {
                        Some(Ok(event)) => events.push(self.reported(&event)?),
                        Some(Err(error)) => {
                            self.report.events = Some(events);
                            return Ok(self.failed(&error));
                        }
                        None => break,
                    }
                }
                self.report.cancelled = self.case.cancel_after == Some(events.len());
                self.report.events = Some(events);
            }
            Read::Text => {
                let mut texts = Vec::new();
                let mut pieces = stream.text(0);
                while let Some(piece) = pieces.next().await {
                    match piece {
                        Ok(piece) => texts.push(piece),
                        Err(error) => {
                            self.report.texts = Some(texts);
                            return Ok(self.failed(&error));
                        }
                    }
                }
                self.report.texts = Some(texts);
            }
            Read::Answer => match stream.answer().await {
                Ok(answer) => {
                    let twin = method(self.method.parent_pool(), twin)?;
                    self.report.response = Some(reported(&twin, &answer)?);
                }
                Err(error) => return Ok(self.failed(&error)),
            },
        }
        Ok(self.report)
    }

    fn failed(mut self, error: &Error) -> Report {
        let violations: Vec<_> = error
            .violations()
            .iter()
            .map(|v| json!({"field": v.field, "description": v.description}))
            .collect();
        self.report.error = Some(json!({
            "code": error.code_name(),
            "reason": error.reason(),
            "message": error.message(),
            "metadata": error.metadata(),
            "violations": violations,
            "retry_delay": error.retry_delay().map(|delay| delay.as_secs_f64()),
            "request_id": error.request_id(),
            "upstream_message": error.upstream_message(),
        }));
        self.report
    }
}
