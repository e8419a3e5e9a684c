// What the test sees of an application beside what the server says of it: how often the code of a step was entered, what a function left,
// and gates at which code waits until the test opens them. side.py is the same for Python.
//
//   GET /entered/{run}   how often each step's code of the run was entered; "()" is the function itself
//   GET /seen/{key}      what was left under a key, or null
//   GET /open/{key}      opens a gate
//   GET /send/{name}     sends an event with the package's client, from outside of a run

export class Side {
	#entered = new Map();
	#seen = new Map();
	#open = new Set();

	/** @param send sends an event; gives its answer */
	constructor(send) {
		this.send = send;
	}

	/** Notes one entry; gives how many there were before. */
	enter(run, name) {
		const counts = this.#entered.get(run) ?? {};
		this.#entered.set(run, counts);
		counts[name] = (counts[name] ?? 0) + 1;
		return counts[name] - 1;
	}

	leave(key, value) {
		this.#seen.set(key, value);
	}

	isOpen(key) {
		return this.#open.has(key);
	}

	/** Waits until the test has opened the gate. */
	async passed(key) {
		while (!this.#open.has(key)) await new Promise((resolve) => setTimeout(resolve, 20));
	}

	async answer(place, key) {
		if (place === "entered") return this.#entered.get(key) ?? {};
		if (place === "seen") return this.#seen.get(key) ?? null;
		if (place === "send") return this.send({ name: key, data: { value: "from outside" } });
		this.#open.add(key);
		return {};
	}

	/** Answers a request that is for it; false when it is not. */
	serves(request, response) {
		const [, place, key] = request.url.split("/");
		if (!["entered", "seen", "open", "send"].includes(place)) return false;
		const end = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
		this.answer(place, decodeURIComponent(key)).then((value) => end(200, value), (error) => end(500, { message: String(error) }));
		return true;
	}
}
