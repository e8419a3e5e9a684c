// With FlowForge: the same process as one function, in the order in which it happens. The work in media.mjs has not changed.

import { createServer } from "node:http";
import { FlowForge } from "flowforge";
import { serve } from "flowforge/node";
import * as media from "./media.mjs";

const flowforge = new FlowForge({ id: "media" });

flowforge.createFunction(
	{
		id: "publish-video",
		trigger: "media/video.uploaded",
		retries: { attempts: 4, backoff: "exponential", base: "200ms" },
		concurrency: 5,
		throttle: { limit: 10, period: "1s", burst: 10 },
		idempotency: "event.data.video",
		onFailure: ({ event, error }) => media.tell(event.data.event.data.video, error.message),
	},
	async ({ event, step }) => {
		const { video } = event.data;

		// Side by side, each tried again on its own; the files come in this order.
		const files = await Promise.all([360, 720, 1080].map((height) => step.run(`transcode ${height}`, () => media.transcode(video, height))));

		const image = await step.run("thumbnail", () => media.thumbnail(video));
		return step.run("publish", () => media.publish(video, files, image));
	},
);

const server = createServer(serve(flowforge)).listen(Number(process.env.PORT ?? 0), async () => {
	const url = `http://localhost:${server.address().port}/api/flowforge`;
	await flowforge.register(url);
	console.log(`media: ${url}`);
});
