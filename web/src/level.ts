// A sound meter: proof to the eye, and to a test, that there is something to hear.

export class Level {
	#analyser: AnalyserNode;
	#source: AudioNode;
	#samples: Float32Array<ArrayBuffer>;

	constructor(context: BaseAudioContext, source: AudioNode) {
		this.#source = source;
		this.#analyser = context.createAnalyser();
		this.#analyser.fftSize = 2048;
		this.#samples = new Float32Array(this.#analyser.fftSize);
		source.connect(this.#analyser);
	}

	/** Root mean square of the last 43 ms, 0 to 1. */
	rms(): number {
		this.#analyser.getFloatTimeDomainData(this.#samples);
		let sum = 0;
		for (const s of this.#samples) sum += s * s;
		return Math.sqrt(sum / this.#samples.length);
	}

	close(): void {
		try {
			this.#source.disconnect(this.#analyser);
		} catch {
			// The source was taken down first and took the connection with it.
		}
	}
}
