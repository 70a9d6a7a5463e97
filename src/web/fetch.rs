//! `fetch` and streamed bodies.
//!
//! gloo-net reads the answer. The request is built on web-sys directly, because gloo-net panics on a header that the
//! runtime refuses, on a rejection that is no `Error` of its own realm, and on the `Response` of a patched `fetch`.

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, RequestInit};

use super::door::{self, Aborter};
use crate::http::{self, Head, Method, Request};
use crate::platform::{Body, NetworkError, Response};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetch)]
    fn global_fetch(url: &str, init: &RequestInit) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(extends = js_sys::Object)]
    #[derive(Debug)]
    type ByteStream;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &ByteStream) -> Result<Reader, JsValue>;

    #[wasm_bindgen(extends = js_sys::Object)]
    #[derive(Debug)]
    type Reader;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Reader) -> Result<JsValue, JsValue>;

    type Location;
    #[wasm_bindgen(method, getter)]
    fn origin(this: &Location) -> Option<String>;
    #[wasm_bindgen(thread_local_v2, js_name = location)]
    static LOCATION: Option<Location>;
}

/// Most redirects that are followed by hand.
const MAX_HOPS: u8 = 3;

/// Sends the request; the answer's body stays open until it is read to its end or dropped.
///
/// A token stays with the origin that it is for. Browsers take `Authorization` off a request that is redirected to
/// another origin; not every runtime without a page does, so there redirects are followed by hand, and only within the
/// origin. One that leads elsewhere is itself the answer.
///
/// `table` holds the functions that URLs of the scheme `transport` name.
pub(super) async fn fetch(mut request: Request, table: u32) -> Result<Response<WebBody>, NetworkError> {
    let mut hops = 0;
    loop {
        let response = send(&request, table).await?;
        match request.redirected(&response.head) {
            Some(url) if hops < MAX_HOPS => request.url = url,
            _ => return Ok(response),
        }
        hops += 1;
    }
}

async fn send(request: &Request, table: u32) -> Result<Response<WebBody>, NetworkError> {
    let aborter = Aborter::new().ok_or_else(|| broken("the package is not started"))?;
    let init = RequestInit::new();
    init.set_method(request.method.as_str());
    init.set_headers(&headers(&request.headers)?.into());
    init.set_signal(Some(aborter.signal()));
    if let Some(body) = &request.body {
        init.set_body(&JsValue::from_str(body));
    }
    let by_hand = request.headers.get("authorization").is_some() && LOCATION.with(Option::is_none);
    if by_hand || !request.follows_redirects() {
        // Not `error`, which Workers do not know.
        let set = Reflect::set(&init, &"redirect".into(), &"manual".into());
        set.map_err(|thrown| broken(&describe(&thrown)))?;
    }
    // Workers and Node know no CORS, and some of them no such mode.
    if request.method == Method::Knock && LOCATION.with(Option::is_some) {
        let set = Reflect::set(&init, &"mode".into(), &"no-cors".into());
        set.map_err(|thrown| broken(&describe(&thrown)))?;
    }
    let refused = |thrown: JsValue| NetworkError {
        message: describe(&thrown),
        maybe_cors: LOCATION.with(|page| page.as_ref().is_some_and(|page| crosses(&request.url, page.origin()))),
    };
    let promise = match request.function() {
        Some(function) => door::through(table, function, &init).ok_or_else(|| broken("the package is not started"))?,
        None => global_fetch(&request.url, &init).map_err(refused)?,
    };
    let answer = door::promise(&promise).await.map_err(refused)?;

    // A patched `fetch` may answer with a class of its own, so shape counts, not `instanceof`.
    let shape = Reflect::get(&answer, &"headers".into()).and_then(|headers| Reflect::get(&headers, &"entries".into()));
    if !shape.is_ok_and(|entries| entries.is_function()) {
        return Err(broken("fetch gave something that is no Response"));
    }
    let answer = gloo_net::http::Response::from(answer.unchecked_into::<web_sys::Response>());
    let mut head = Head { status: answer.status(), ..Head::default() };
    for (name, value) in answer.headers().entries() {
        head.headers.push(name, value);
    }
    let reader = match answer.body() {
        Some(body) => Some(body.unchecked_into::<ByteStream>().reader().map_err(|thrown| broken(&describe(&thrown)))?),
        None => None,
    };
    Ok(Response { head, body: WebBody { reader, _aborter: aborter } })
}

/// A `Headers` object; names what the runtime refuses, never its value, which may be a key.
fn headers(plain: &http::Headers) -> Result<Headers, NetworkError> {
    let made = Headers::new().map_err(|thrown| broken(&describe(&thrown)))?;
    for (name, value) in plain.iter() {
        let refused = |_| broken(&["header `", name, "` has a name or a value that is not allowed"].concat());
        made.append(name, value).map_err(refused)?;
    }
    Ok(made)
}

/// Whether the URL leads to another origin than the page's; one that the page resolves does not.
fn crosses(url: &str, origin: Option<String>) -> bool {
    let rest = origin.and_then(|origin| url.strip_prefix(&origin));
    url.contains("://") && !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn broken(message: &str) -> NetworkError {
    NetworkError { message: message.to_owned(), maybe_cors: false }
}

/// What was thrown, for people: `TypeError: fetch failed (ECONNREFUSED)`.
fn describe(thrown: &JsValue) -> String {
    let field = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok().and_then(|value| value.as_string());
    let name = field(thrown, "name").unwrap_or_else(|| "Error".to_owned());
    let message = field(thrown, "message").or_else(|| thrown.as_string()).unwrap_or_default();
    // Runtimes quote the URL; its query may hold a key.
    let message = message.split('?').next().unwrap_or_default();
    let mut text = [&name, ": ", message].concat();
    // Node hides the reason one level deeper.
    let cause = Reflect::get(thrown, &"cause".into()).ok().filter(JsValue::is_object);
    if let Some(code) = cause.and_then(|cause| field(&cause, "code")) {
        text = [&text, " (", &code, ")"].concat();
    }
    text
}

/// A body that is read chunk by chunk; dropping it aborts the request.
#[derive(Debug)]
pub struct WebBody {
    /// Gone after the end and after an error.
    reader: Option<Reader>,
    /// Goes last: the stream is cancelled first.
    _aborter: Aborter,
}

impl Body for WebBody {
    async fn chunk(&mut self) -> Option<Result<Vec<u8>, NetworkError>> {
        loop {
            let reader = self.reader.as_ref()?;
            let read = match reader.read() {
                Ok(promise) => door::promise(&promise).await,
                Err(thrown) => Err(thrown),
            };
            match read.map_err(|thrown| broken(&describe(&thrown))).and_then(|read| bytes(&read)) {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return Some(Ok(bytes)),
                Ok(None) => self.release(),
                Err(error) => {
                    self.release();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl WebBody {
    fn release(&mut self) {
        if let Some(reader) = self.reader.take() {
            door::cancel(&reader);
        }
    }
}

impl Drop for WebBody {
    fn drop(&mut self) {
        self.release();
    }
}

/// The bytes of `{ done, value }`; `None` at the end.
fn bytes(read: &JsValue) -> Result<Option<Vec<u8>>, NetworkError> {
    let field = |name: &str| Reflect::get(read, &name.into()).unwrap_or(JsValue::UNDEFINED);
    if field("done").is_truthy() {
        return Ok(None);
    }
    let value = field("value");
    match value.dyn_ref::<Uint8Array>() {
        Some(bytes) => Ok(Some(bytes.to_vec())),
        // From another realm, or a buffer.
        None if value.is_instance_of::<ArrayBuffer>() || ArrayBuffer::is_view(&value) => {
            Ok(Some(Uint8Array::new(&value).to_vec()))
        }
        None => Err(broken("the body's stream gave something that is no bytes")),
    }
}
