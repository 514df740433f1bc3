//! The client: a method for each call of the API.

use prost::Message;

use crate::builder::Builder;
use crate::call::{Call, Defaults, List, Page, unary};
use crate::channel::{Channel, Method, Stubs, method};
use crate::resume::Repeat;
use crate::stream::{ChatStream, ContentStream};
use crate::upload::Upload;
use crate::v1;

/// A client of a contextbridge server. It is cheap to clone, and made to live long.
///
/// Its connection is closed when its last clone, call and stream are dropped.
///
/// Every call fails with [`Error`](crate::Error). Reads are repeated on `Unavailable`. What may cost
/// money is repeated only where it has an `idempotency_key`, which makes it paid once: a stream then goes
/// on after its newest event, and its reader sees nothing of the break.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    defaults: Defaults,
}

impl Client {
    /// Begins a client of the server at this address: `bridge.internal:443`,
    /// `dns:///bridge:50051` for a name with several addresses, or `unix:/run/contextbridge.sock`.
    pub fn builder(target: impl Into<String>) -> Builder {
        Builder::new(target.into())
    }

    pub(crate) fn new(channel: Channel, defaults: Defaults) -> Self {
        Self { channel, defaults }
    }

    /// The channel, for other stubs on the same connection.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The generated stubs, for whatever the client leaves out.
    #[must_use]
    pub fn stubs(&self) -> Stubs {
        Stubs::new(&self.channel)
    }

    // Contexts

    /// Makes a context, which upstream charges for until its binding lapses.
    ///
    /// Without `idempotency_key` a repeated call makes, and pays for, a second one.
    pub fn create_context(
        &self,
        request: v1::CreateContextRequest,
    ) -> Call<v1::CreateContextResponse> {
        let repeat = Repeat::named(&request.idempotency_key);
        self.unary(method!(contexts.create_context), request, repeat, |r| r)
    }

    /// Returns a context as it is now.
    pub fn get_context(&self, id: impl Into<String>) -> Call<v1::Context> {
        let request = v1::GetContextRequest { id: id.into() };
        self.unary(
            method!(contexts.get_context),
            request,
            Repeat::Read,
            |response: v1::GetContextResponse| response.context.unwrap_or_default(),
        )
    }

    /// Reads the caller's contexts, the newest first, page by page.
    pub fn list_contexts(&self, request: v1::ListContextsRequest) -> List<v1::Context> {
        self.list(
            method!(contexts.list_contexts),
            request,
            |request| &mut request.page_token,
            |page: v1::ListContextsResponse| (page.contexts, page.next_page_token),
        )
    }

    /// Changes how long a context lives, or its name, and returns it.
    ///
    /// Without `update_mask` the fields that are set are changed, and others left alone.
    pub fn update_context(&self, request: v1::UpdateContextRequest) -> Call<v1::Context> {
        self.unary(
            method!(contexts.update_context),
            request,
            Repeat::Never,
            |response: v1::UpdateContextResponse| response.context.unwrap_or_default(),
        )
    }

    /// Deletes a context and what was stored of it.
    pub fn delete_context(&self, id: impl Into<String>) -> Call<()> {
        let request = v1::DeleteContextRequest { id: id.into() };
        self.unary(
            method!(contexts.delete_context),
            request,
            Repeat::Never,
            |_| (),
        )
    }

    // Chats

    /// Continues from a context and streams the answer.
    pub fn chat(&self, request: v1::ChatWithContextRequest) -> ChatStream {
        ChatStream::new(self.channel.clone(), request, self.defaults)
    }

    /// Continues from a context and returns the whole answer: `chat` without the stream.
    pub fn complete_chat(
        &self,
        request: v1::ChatWithContextRequest,
    ) -> Call<v1::CompleteChatWithContextResponse> {
        let repeat = Repeat::named(&request.idempotency_key);
        self.unary(
            method!(contexts.complete_chat_with_context),
            request,
            repeat,
            |response| response,
        )
    }

    // Gemini

    /// Returns a whole answer. A prompt that was blocked is an answer without candidates.
    pub fn generate_content(
        &self,
        request: v1::GenerateContentRequest,
    ) -> Call<v1::GenerateContentResponse> {
        let repeat = Repeat::named(&request.idempotency_key);
        self.unary(method!(gemini.generate_content), request, repeat, |r| r)
    }

    /// Streams an answer: `generate_content` piece by piece.
    pub fn stream_generate_content(&self, request: v1::GenerateContentRequest) -> ContentStream {
        ContentStream::new(self.channel.clone(), request, self.defaults)
    }

    /// Counts the tokens of what `generate_content` would send. Costs nothing.
    pub fn count_tokens(&self, request: v1::CountTokensRequest) -> Call<v1::CountTokensResponse> {
        self.unary(method!(gemini.count_tokens), request, Repeat::Read, |r| r)
    }

    // Cached contents

    /// Makes a cached content, which upstream charges for until it ends.
    pub fn create_cached_content(
        &self,
        request: v1::CreateCachedContentRequest,
    ) -> Call<v1::CachedContent> {
        self.unary(
            method!(cached_contents.create_cached_content),
            request,
            Repeat::Never,
            |response: v1::CreateCachedContentResponse| response.cached_content.unwrap_or_default(),
        )
    }

    /// Returns a cached content's metadata; its content cannot be read back.
    pub fn get_cached_content(&self, name: impl Into<String>) -> Call<v1::CachedContent> {
        let request = v1::GetCachedContentRequest { name: name.into() };
        self.unary(
            method!(cached_contents.get_cached_content),
            request,
            Repeat::Read,
            |response: v1::GetCachedContentResponse| response.cached_content.unwrap_or_default(),
        )
    }

    /// Reads the cached contents' metadata, page by page.
    pub fn list_cached_contents(
        &self,
        request: v1::ListCachedContentsRequest,
    ) -> List<v1::CachedContent> {
        self.list(
            method!(cached_contents.list_cached_contents),
            request,
            |request| &mut request.page_token,
            |page: v1::ListCachedContentsResponse| (page.cached_contents, page.next_page_token),
        )
    }

    /// Changes when a cached content ends, by one of `ttl` and `expire_time`, and returns it.
    pub fn update_cached_content(
        &self,
        request: v1::UpdateCachedContentRequest,
    ) -> Call<v1::CachedContent> {
        self.unary(
            method!(cached_contents.update_cached_content),
            request,
            Repeat::Never,
            |response: v1::UpdateCachedContentResponse| response.cached_content.unwrap_or_default(),
        )
    }

    /// Deletes a cached content.
    pub fn delete_cached_content(&self, name: impl Into<String>) -> Call<()> {
        let request = v1::DeleteCachedContentRequest { name: name.into() };
        self.unary(
            method!(cached_contents.delete_cached_content),
            request,
            Repeat::Never,
            |_| (),
        )
    }

    // Files

    /// Uploads a file and returns what is known of it. A video may be `PROCESSING` at first.
    ///
    /// Fails with `InvalidArgument`, and the [`std::io::Error`] as its source, where the file cannot
    /// be read.
    pub fn upload_file(&self, upload: Upload) -> Call<v1::File> {
        let channel = self.channel.clone();
        Call::new(self.defaults, |options| upload.send(channel, options))
    }

    /// Returns a file's metadata.
    pub fn get_file(&self, name: impl Into<String>) -> Call<v1::File> {
        let request = v1::GetFileRequest { name: name.into() };
        self.unary(
            method!(files.get_file),
            request,
            Repeat::Read,
            |response: v1::GetFileResponse| response.file.unwrap_or_default(),
        )
    }

    /// Reads the files' metadata, page by page.
    pub fn list_files(&self, request: v1::ListFilesRequest) -> List<v1::File> {
        self.list(
            method!(files.list_files),
            request,
            |request| &mut request.page_token,
            |page: v1::ListFilesResponse| (page.files, page.next_page_token),
        )
    }

    /// Deletes a file.
    pub fn delete_file(&self, name: impl Into<String>) -> Call<()> {
        let request = v1::DeleteFileRequest { name: name.into() };
        self.unary(method!(files.delete_file), request, Repeat::Never, |_| ())
    }

    // Response cache

    /// Deletes answers that the server keeps for the caller's tenant; returns how many.
    ///
    /// Exactly one field of the request says which.
    pub fn delete_cached_responses(&self, request: v1::DeleteCachedResponsesRequest) -> Call<i64> {
        self.unary(
            method!(response_cache.delete_cached_responses),
            request,
            Repeat::Never,
            |response: v1::DeleteCachedResponsesResponse| response.deleted_count,
        )
    }

    /// Returns what the server keeps for the caller's tenant, and how that has been used.
    pub fn get_response_cache_statistics(&self) -> Call<v1::ResponseCacheStatistics> {
        self.unary(
            method!(response_cache.get_response_cache_statistics),
            v1::GetResponseCacheStatisticsRequest {},
            Repeat::Read,
            |response: v1::GetResponseCacheStatisticsResponse| {
                response.statistics.unwrap_or_default()
            },
        )
    }

    // What the methods have in common

    /// A call with one answer, of which the caller gets a part.
    fn unary<Q, A, T>(
        &self,
        method: Method<Q, A>,
        request: Q,
        repeat: Repeat,
        part: fn(A) -> T,
    ) -> Call<T>
    where
        Q: Message + Clone + 'static,
        A: Send + 'static,
        T: 'static,
    {
        let channel = self.channel.clone();
        Call::new(self.defaults, move |options| async move {
            unary(channel, method, request, repeat, options)
                .await
                .map(part)
        })
    }

    /// A list, which is read by calls that differ in their page's token.
    fn list<Q, A, T>(
        &self,
        method: Method<Q, A>,
        mut request: Q,
        token: fn(&mut Q) -> &mut String,
        page: fn(A) -> Page<T>,
    ) -> List<T>
    where
        Q: Message + Clone + 'static,
        A: Send + 'static,
        T: 'static,
    {
        let channel = self.channel.clone();
        let first = token(&mut request).clone();
        List::new(self.defaults, first, move |options, next| {
            let channel = channel.clone();
            let mut request = request.clone();
            *token(&mut request) = next;
            async move {
                unary(channel, method, request, Repeat::Read, options)
                    .await
                    .map(page)
            }
        })
    }
}
