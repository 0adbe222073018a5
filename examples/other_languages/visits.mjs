// Counts a visit in Redis. A client library takes process.env.REDIS_URL in place of this socket.
import { createConnection } from "node:net";

const { REDIS_HOST, REDIS_PORT, REDIS_PASSWORD } = process.env;
const socket = createConnection(Number(REDIS_PORT), REDIS_HOST);
let replies = "";
socket.setEncoding("utf8");
socket.on("data", (data) => (replies += data));
socket.on("end", () => console.log("visits:", replies.match(/:(\d+)/)[1]));
socket.write(`AUTH ${REDIS_PASSWORD}\r\nINCR visits\r\nQUIT\r\n`);
