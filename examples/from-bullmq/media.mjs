// The work itself, which does not care who calls it: before.mjs and app.mjs do the same with it.

const tried = new Set();

/** Makes a file of a height; the first time at 720 the encoder is busy. */
export function transcode(video, height) {
	const file = `${video}-${height}.mp4`;
	if (height === 720 && !tried.has(file)) {
		tried.add(file);
		throw new Error("the encoder is busy");
	}
	return file;
}

export const thumbnail = (video) => `${video}.jpg`;

/** Puts it where people see it; a video whose name says so breaks the rules, and always will. */
export function publish(video, files, image) {
	if (video.startsWith("banned")) throw new Error(`${video} breaks the rules`);
	return { video, files, image, at: `https://videos.example/${video}` };
}

export const tell = (video, message) => console.log(`${video}: ${message}`);
