// A host somewhere on the net: what steps fetch from and infer with. It remembers what it was asked.

import { once } from "node:events";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";

export class Host {
	/** What it was asked, as {method, path, headers, body}. */
	asked = [];

	static async start() {
		const host = new Host();
		host.http = createServer(async (request, response) => {
			const chunks = [];
			for await (const chunk of request) chunks.push(chunk);
			const body = Buffer.concat(chunks).toString();
			const url = new URL(request.url, "http://host");
			host.asked.push({ method: request.method, path: request.url, headers: request.headers, body });
			host.answer(url, request, response, body);
		});
		host.http.listen(0, "127.0.0.1");
		await once(host.http, "listening");
		host.url = `http://127.0.0.1:${host.http.address().port}`;
		return host;
	}

	/** What was asked at a path so far. */
	at(path) {
		return this.asked.filter((a) => a.path.split("?")[0] === path);
	}

	answer(url, request, response, body) {
		const json = (status, value, headers = {}) => {
			response.writeHead(status, { "content-type": "application/json", ...headers });
			response.end(JSON.stringify(value));
		};
		// The first part of a path says how to answer; the rest makes it unique to a test.
		switch (url.pathname.split("/")[1]) {
			case "echo":
				return json(200, { method: request.method, headers: request.headers, body, query: url.search }, { "x-answer": "yes" });
			case "missing":
				return json(404, { error: "nothing here" });
			case "redirect":
				response.writeHead(302, { location: "/echo/redirected" });
				return response.end();
			case "packed":
				response.writeHead(200, { "content-type": "text/plain", "content-encoding": "gzip" });
				return response.end(gzipSync("packed text"));
			case "bytes":
				response.writeHead(200, { "content-type": "application/octet-stream" });
				return response.end(Buffer.from([0x61, 0, 0xff, 0x62]));
			case "slow":
				return setTimeout(() => json(200, "late"), 1000);
			case "busy": // once
				return this.at(url.pathname).length === 1 ? json(429, { error: "slow down" }, { "retry-after": "1" }) : this.complete(json, body);
			case "broken":
				return json(500, { error: { message: `the key ${request.headers.authorization} is not worth much` } });
			case "page":
				response.writeHead(200, { "content-type": "text/html" });
				return response.end("<html>");
			case "gone":
				return request.socket.destroy();
			default:
				return this.complete(json, body);
		}
	}

	/** A provider's answer. */
	complete(json, body) {
		const asked = JSON.parse(body);
		json(200, {
			model: `${asked.model ?? "model"}-1`,
			choices: [{ message: { role: "assistant", content: "four" } }],
			usage: { prompt_tokens: 11, completion_tokens: 2 },
		});
	}

	stop() {
		this.http.closeAllConnections();
		this.http.close();
	}
}
