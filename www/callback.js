// The page that authorization servers send users back to, after a popup or a redirect.

import { completeAuthorization } from "./edgewise/authorize.js";

const callback = await completeAuthorization();

// Most windows are closed by now.
say("title", callback ? "Nobody is waiting for this sign-in" : "You can close this window");
say("advice", callback ? "The page that asked for it is gone. Go back and sign in there once more." : "The page that asked you to sign in goes on by itself.");

function say(id, text) {
  document.getElementById(id).textContent = text;
}
