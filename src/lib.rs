//! An LLM agent core with MCP over Streamable HTTP, compiled to WebAssembly.
