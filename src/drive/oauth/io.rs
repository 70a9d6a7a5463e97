//! What a flow needs of the world: answers, the app's functions, the store.

use super::*;

impl<P: Platform> Inner<P> {
    pub(super) fn question(&self, ask: Ask) -> (Option<FunctionId>, Value) {
        match (ask, &self.config.grant) {
            (Ask::Assertion { issuer }, Grant::Assertion(function)) => {
                (Some(*function), json!({ "server": self.name, "issuer": issuer }))
            }
            (Ask::IdToken, Grant::Enterprise(idp)) => (Some(idp.id_token), json!({ "server": self.name })),
            _ => (None, Value::Null),
        }
    }

    pub(super) async fn tell(&self, flow: &mut Flow, function: Option<FunctionId>, argument: Value) {
        let told = match function {
            Some(function) => self.call(function, argument).await,
            None => None,
        };
        flow.apply(told.map_or(Fact::Declined, Fact::Told), self.platform.now());
    }

    /// What a function of the app resolves to, if it is text. What it threw is not kept: it may hold a secret.
    pub(super) async fn call(&self, function: FunctionId, argument: Value) -> Option<Secret> {
        let result = self.platform.call_app(AppCall { function, argument }).await.ok()?;
        result.as_str().filter(|text| !text.is_empty()).map(Secret::new)
    }

    /// Status, body and nonce, or whether CORS may be why there is none.
    pub(super) async fn fetch(&self, request: Request) -> std::result::Result<(u16, Vec<u8>, Option<String>), bool> {
        let exchange = async {
            let response = self.platform.fetch(request).await.map_err(|error| error.maybe_cors)?;
            let (head, mut body) = (response.head, response.body);
            let mut bytes = Vec::new();
            while let Some(chunk) = body.chunk().await {
                bytes.extend(chunk.map_err(|error| error.maybe_cors)?);
                if bytes.len() > MAX_BODY {
                    return Err(false);
                }
            }
            Ok((head.status, bytes, head.headers.get("dpop-nonce").map(str::to_owned)))
        };
        within(&*self.platform, self.timeout, &Cancel::new(), exchange).await.unwrap_or(Err(false))
    }

    pub(super) fn random(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.platform.random().to_le_bytes());
        }
        bytes
    }
}
