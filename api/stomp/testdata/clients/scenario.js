// What a client of @stomp/stompjs does, in Node and in a browser. It reports what
// it sees; the test has the rest happen.

export function scenario(Client, factory, report) {
  const client = new Client({
    webSocketFactory: factory,
    connectHeaders: { login: "ann", passcode: "key" },
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    reconnectDelay: 0,
    onConnect: (frame) => {
      report({ event: "connected", version: client.connectedVersion, beats: frame.headers["heart-beat"] });
      client.watchForReceipt("feed", () => report({ event: "subscribed" }));
      client.subscribe("/qapi/twins/did:iotics:f/interests/twins/did:iotics:a/feeds/temp", onSample, { id: "1", receipt: "feed" });
    },
    onStompError: (frame) => report({ event: "error", message: frame.headers.message, body: JSON.parse(frame.body) }),
    onWebSocketError: () => report({ event: "broken" }),
    onWebSocketClose: (close) => report({ event: "closed", code: close.code }),
  });

  function onSample(message) {
    const { interest, feedData } = JSON.parse(message.body);
    report({ event: "message", destination: message.headers.destination, follower: interest.followerTwinId.id, data: atob(feedData.data) });
    client.unsubscribe("1");
    client.watchForReceipt("stickers", () => report({ event: "acknowledging" }));
    client.subscribe("/topic/stickers/>", onSticker, { id: "2", ack: "client-individual", receipt: "stickers" });
  }

  function onSticker(message) {
    report({ event: "sticker", destination: message.headers.destination, body: message.body, again: message.headers.redelivered === "true" });
    if (message.headers.redelivered !== "true") {
      message.nack();
      return;
    }
    message.ack();
    client.subscribe("/qapi/searches/results", onResult, { id: "3" });
    client.publish({ destination: "/qapi/searches/dispatches", body: "caf\u00e9 " + "x".repeat(70000), headers: { limit: "5" } });
  }

  function onResult(message) {
    const { limit, body } = JSON.parse(message.body);
    report({ event: "result", limit, length: body.length, begins: body.slice(0, 5) });
    client.subscribe("/nothing", () => {}, { id: "4" });
  }

  client.activate();
}
