//! What the class behind `McpClient` does seldom.

use serde_json::Value;

use crate::drive::client::Client;
use crate::drive::wait::Cancel;
use crate::error::{Code, Result};
use crate::json;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::types::Progress;
use crate::web::WebPlatform;
use crate::web::arguments::Arguments;
use crate::web::door;
use crate::web::face::{no_method, progress_json};

/// What [`ClientCore::call`](crate::web::ClientCore::call) does but for what every client wants.
pub(super) async fn perform(
    client: Client<WebPlatform>,
    ticket: u32,
    method: String,
    mut given: Arguments,
    cancel: Cancel,
) -> Result<String> {
    let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
    let options = given.options()?;
    let answer = match &*method {
        "finishAuthorization" => client.finish_authorization(&given.text("callback")?, &cancel).await?,
        "rootsChanged" => {
            client.roots_changed().await;
            Value::Null
        }
        "tasks" => client.tasks().await,
        "resumeTask" => Value::Object(client.resume_task(&given.text("id")?, &options, &cancel, &mut report).await?),
        "cancelTask" => {
            client.cancel_task(&given.text("id")?, &cancel).await?;
            Value::Null
        }
        "acceptTool" => {
            client.accept_tool(&given.text("name")?).await?;
            Value::Null
        }
        "cacheStats" => client.cache_stats().await,
        "clearCache" => {
            client.clear_cache().await;
            Value::Null
        }
        "ping" => {
            client.ping(&options, &cancel).await?;
            Value::Null
        }
        // Tells of changes as progress, until it is cancelled.
        "watch" => {
            let filter = Filter::read(&given.take("filter"), "filter")?;
            let mut tell = |change: Change| door::progress(ticket, &json::text(&change.to_value()));
            match client.watch(filter, &cancel, &mut tell).await {
                Err(error) if error.code != Code::Cancelled => return Err(error),
                _ => Value::Null,
            }
        }
        "setLogLevel" => {
            client.set_log_level(&given.text("level")?, &cancel).await?;
            Value::Null
        }
        _ => return Err(no_method(&method)),
    };
    Ok(json::text(&answer))
}
