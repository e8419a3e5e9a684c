// Handlers of fetch on Node's HTTP server, as frameworks have them.

import { once } from "node:events";

/** A listener around a handler of fetch, or one for each method, as frameworks have it: it reads on when what it has read is written. */
export const viaFetch = (handlers) => async (request, response) => {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	const body = request.method === "GET" ? undefined : Buffer.concat(chunks);
	const handler = typeof handlers === "function" ? handlers : handlers[request.method];
	const answer = await handler(new Request(`http://${request.headers.host}${request.url}`, { method: request.method, headers: request.headers, body }));
	response.writeHead(answer.status, Object.fromEntries(answer.headers));
	const reader = answer.body?.getReader();
	const gone = once(response, "close").then(() => reader?.cancel());
	for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
		if (!response.write(part.value)) await Promise.race([once(response, "drain"), gone]);
	}
	response.end();
};
