// The demo page as a person uses it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openPage, startBrowser, stats } from "../lib/browser.mjs";
import { startDemo } from "../lib/demo.mjs";
import { until, untilPlaying } from "../lib/measure.mjs";

const viewport = { width: 1240, height: 900 };

describe("the demo page", () => {
	let demo, browser;
	before(async () => {
		demo = await startDemo();
		browser = await startBrowser();
	});
	after(async () => {
		await browser?.close();
		await demo?.stop();
	});

	test("plays the clip, with sound, and says how old it is and which way it came", async (t) => {
		const page = await openPage(t, browser, demo, {}, { viewport });
		await untilPlaying(page, "the clip");
		await page.getByRole("button", { name: "Sound is off" }).click();
		await page.getByRole("button", { name: "Sound is on" }).waitFor();
		await until("something to hear", async () => (await stats(page)).viewer.audio.level > 0.005);
		await until("the age at the edge", async () => /ms$/.test(await page.locator("#age").textContent()), { timeoutMs: 30_000 });
		const stops = await page.locator("#path .stop").allTextContents();
		assert.match(stops.at(-1), /You/);
		assert.ok(stops.length >= 3, `the path shows ${stops.length} stops: ${stops}`);
		assert.match(await page.locator("#wan").textContent(), /userspace network impairment/);
	});

	test("keeps its state in the address, and changes by keyboard", async (t) => {
		const page = await openPage(t, browser, demo, { region: "eu-west", via: "whep", broadcast: demo.broadcast }, { viewport });
		await untilPlaying(page, "the clip by WHEP");
		await page.getByRole("radio", { name: /WebRTC/ }).focus();
		await page.keyboard.press("ArrowRight");
		await page.waitForURL(/via=moq/);
		const seen = await untilPlaying(page, "the clip by MoQ", { withSound: false });
		assert.equal(seen.via, "moq");
		assert.match(page.url(), /region=eu-west/);
	});

	test("publishes the camera from the form and shows it to itself", async (t) => {
		const page = await openPage(t, browser, demo, { region: "us-east" }, { viewport });
		await page.locator("#codec").selectOption("VP8");
		await page.locator("#publish input[name=name]").fill("demo/from-the-form");
		await page.getByRole("button", { name: "Start" }).click();
		await page.waitForURL(/broadcast=demo\/from-the-form/);
		await untilPlaying(page, "one's own camera");
		await page.getByRole("button", { name: "Stop" }).click();
		await page.getByRole("button", { name: "Start" }).waitFor();
	});
});
