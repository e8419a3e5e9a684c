// With BullMQ: two queues, a flow between them, and their events. What belongs together is held together by names.

import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import * as media from "./media.mjs";

const connection = { host: "localhost", port: 6379 };
const retry = { attempts: 5, backoff: { type: "exponential", delay: 200 } };

new Worker("transcode", ({ data }) => media.transcode(data.video, data.height), { connection, concurrency: 5 });

new Worker(
	"publish",
	async (job) => {
		const files = Object.values(await job.getChildrenValues()); // in no particular order
		// Both in one job: when publishing fails, the retry makes the thumbnail again.
		const image = media.thumbnail(job.data.video);
		return media.publish(job.data.video, files, image);
	},
	{ connection, limiter: { max: 10, duration: 1000 } },
);

// Without failParentOnFailure on each child the parent of a failed child waits for ever.
const flows = new FlowProducer({ connection });
const child = (video) => (height) => ({ name: "transcode", queueName: "transcode", data: { video, height }, opts: { ...retry, failParentOnFailure: true } });

/** Called by the shop, after its own commit; if it dies in between, there is a video that is never published. */
export const uploaded = (video) =>
	flows.add({ name: "publish", queueName: "publish", data: { video }, opts: { ...retry, jobId: video }, children: [360, 720, 1080].map(child(video)) });

const published = new Queue("publish", { connection });
new QueueEvents("publish", { connection }).on("failed", async ({ jobId, failedReason }) => {
	// Of every failure of the job, so ask whether it was the last.
	const job = await published.getJob(jobId);
	if (job?.attemptsMade === job?.opts.attempts) media.tell(job.data.video, failedReason);
});
