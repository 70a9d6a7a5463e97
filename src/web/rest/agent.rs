//! What the class behind `Agent` does seldom.

use serde_json::Value;

use crate::agent::config::RunOptions;
use crate::drive::agent::Agent;
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::mcp::lists::List;
use crate::mcp::types::Progress;
use crate::options::Fields;
use crate::web::WebPlatform;
use crate::web::arguments::Arguments;
use crate::web::door;
use crate::web::face::{no_method, progress_json, result_json};

/// What [`AgentCore::call`](crate::web::AgentCore::call) does but for what every agent wants.
pub(super) async fn perform(
    agent: Agent<WebPlatform>,
    ticket: u32,
    method: String,
    mut given: Arguments,
    cancel: Cancel,
) -> Result<String> {
    let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
    let options = given.options()?;
    let answer = match &*method {
        "finishAuthorization" => agent.finish_authorization(&given.text("callback")?, &cancel).await?,
        "removeServer" => {
            agent.remove_server(&given.text("name")?).await?;
            Value::Null
        }
        "cacheStats" => agent.cache_stats().await,
        "clearCache" => {
            agent.clear_cache(given.take("server").as_str()).await?;
            Value::Null
        }
        "waitingWrites" => agent.waiting_writes().await,
        "forgetKept" => {
            let (conversation, spaces) = (given.take("conversation"), given.take("spaces"));
            let spaces = spaces.as_array().map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>());
            agent.forget_kept(conversation.as_str(), spaces.as_deref()).await;
            Value::Null
        }
        "buildContext" => {
            let (query, wish) = (given.text("query")?, given.take("context"));
            let mut config = agent.context_config();
            if !wish.is_null() {
                let mut fields = Fields::open(&wish, "")?;
                config.read_choice(&mut fields)?;
                fields.finish()?;
            }
            agent.build_context(&query, &config, &cancel).await?
        }
        "countTokens" => {
            let (prompt, run, id) = (given.text("prompt")?, RunOptions::read(&given.take("run"))?, given.take("id"));
            agent.count_tokens(id.as_str(), prompt, run, &cancel).await?
        }
        "findTools" => {
            let (query, limit) = (given.text("query")?, given.take("limit"));
            let limit = limit.as_u64().filter(|limit| *limit > 0 && *limit <= 1000);
            let limit = limit.ok_or_else(|| Error::config("limit", "expected a whole number from 1 to 1000"))?;
            Value::from(agent.find_tools(&query, limit as usize, &cancel).await?)
        }
        "forgetApprovals" => {
            agent.forget_approvals().await;
            Value::Null
        }
        "readResult" => agent.kept_result(&given.text("handle")?, &cancel).await?,
        "rootsChanged" => {
            agent.roots_changed().await;
            Value::Null
        }
        "tasks" => agent.tasks().await,
        "resumeTask" => {
            let (server, task) = (given.text("server")?, given.text("task")?);
            result_json(agent.resume_task(&server, &task, &cancel, &mut report).await?)
        }
        "acceptTool" => {
            agent.accept_tool(&given.text("name")?).await?;
            Value::Null
        }
        "openRuns" => agent.open_runs().await,
        "forgetRun" => {
            agent.forget_run(&given.text("id")?).await;
            Value::Null
        }
        "messages" => json::tree(&agent.messages(&given.text("id")?).await?),
        "clearConversation" => {
            agent.clear_conversation(&given.text("id")?, &cancel).await?;
            Value::Null
        }
        "subscribe" => {
            let (server, uri) = (given.text("server")?, given.text("uri")?);
            agent.subscribe(&given.text("id")?, &server, &uri, &cancel).await?;
            Value::Null
        }
        "unsubscribe" => {
            let (server, uri) = (given.text("server")?, given.text("uri")?);
            Value::Bool(agent.unsubscribe(&given.text("id")?, &server, &uri).await?)
        }
        "subscriptions" => agent.subscriptions(&given.text("id")?).await?,
        // Tells of changes as progress, until it is cancelled.
        "changes" => {
            let tell = |change: Value| door::progress(ticket, &json::text(&change));
            match agent.changes(&given.text("id")?, &cancel, &tell).await {
                Err(error) if error.code != Code::Cancelled => return Err(error),
                _ => Value::Null,
            }
        }
        "toolChanges" => {
            let tell = |change: Value| door::progress(ticket, &json::text(&change));
            match agent.tool_changes(given.text("server").ok().as_deref(), &cancel, &tell).await {
                Err(error) if error.code != Code::Cancelled => return Err(error),
                _ => Value::Null,
            }
        }
        "list" => match List::of(&given.text("key")?) {
            Some(list) => agent.list(list, options.cache, &cancel).await?,
            None => return Err(Error::config("key", "there is no such list")),
        },
        "ask" => {
            let (server, asked, params) = (given.text("server")?, given.text("method")?, given.object("params")?);
            Value::Object(agent.ask(&server, &asked, &params, &options, &cancel, &mut report).await?)
        }
        "previewPlan" => agent.preview_plan(&given.take("plan"), &cancel).await?,
        _ => return Err(no_method(&method)),
    };
    Ok(json::text(&answer))
}
