// node node.mjs ws://host:port/ws
import { Client } from "@stomp/stompjs";
import { WebSocket } from "ws";

import { scenario } from "./scenario.js";

scenario(Client, () => new WebSocket(process.argv[2], ["v12.stomp", "v11.stomp", "v10.stomp"]), (seen) => console.log(JSON.stringify(seen)));
