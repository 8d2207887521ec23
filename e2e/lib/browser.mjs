// Debian's Chromium and Firefox, headless, with a camera and a microphone that are made up.
import { chromium, firefox } from "playwright-core";
import path from "node:path";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

export async function startBrowser() {
	return chromium.launch({
		executablePath,
		args: [
			"--no-sandbox",
			"--disable-gpu",
			"--no-first-run",
			"--disable-background-networking",
			"--disable-component-update",
			"--disable-sync",
			"--disable-background-timer-throttling",
			"--disable-backgrounding-occluded-windows",
			"--disable-renderer-backgrounding",
			"--use-fake-device-for-media-stream",
			"--use-fake-ui-for-media-stream",
			"--autoplay-policy=no-user-gesture-required",
		],
	});
}

/** Firefox as it comes, by WebDriver BiDi. Its camera is a picture of changing color, its microphone a tone. */
export async function startFirefox() {
	return firefox.launch({
		channel: "moz-firefox",
		executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
		firefoxUserPrefs: {
			"media.navigator.streams.fake": true,
			"media.navigator.permission.disabled": true,
			"media.peerconnection.ice.loopback": true, // which it leaves out otherwise
			"media.peerconnection.ice.obfuscate_host_addresses": false, // names by mDNS, which nobody here answers
			"media.autoplay.default": 0,
			"media.autoplay.blocking_policy": 0,
			"media.autoplay.block-webaudio": false,
			"media.gmp-manager.url": "data:text/plain,", // no plugins from the network
			"app.update.enabled": false,
		},
	});
}

/** The camera that the tests use where nothing else is asked: small, since all encoding and decoding is software. */
export const smallCamera = { width: 640, height: 360 };

/** A window as small as the page's narrow layout: pictures are painted in software, too. */
const smallWindow = { width: 400, height: 640 };

/**
 * Opens the demo page in a window of its own, for the length of the test `t`. What goes wrong on it is kept in `page.complaints`. `camera` is the
 * size that the page's getUserMedia gets to ask for, and encoded pictures are counted in `window.encodedPictures`:
 * both are properties of the browser that is being simulated; the packages on the page are untouched.
 */
export async function openPage(t, browser, demo, choice = {}, { camera = smallCamera, viewport = smallWindow } = {}) {
	const page = await browser.newPage({ viewport, reducedMotion: "reduce" });
	t.after(() => page.close()); // a page left open would go on encoding beside the next test
	page.complaints = [];
	page.on("pageerror", (err) => page.complaints.push(`error: ${err.message}`));
	page.on("console", (message) => {
		if (message.type() === "error" || message.type() === "warning") page.complaints.push(`${message.type()}: ${message.text()}`);
	});
	await page.addInitScript(simulateDevices, camera);
	await page.goto(demo.pageURL(choice));
	await page.waitForFunction(() => window.trellis !== undefined);
	return page;
}

/** Opens a page that publishes `what` (region, via, codec, name), and does nothing else. */
export async function openPublisher(t, browser, demo, what, devices) {
	const page = await openPage(t, browser, demo, { region: what.region, broadcast: what.name }, devices);
	await page.evaluate(() => window.trellis.stop());
	await publish(page, what);
	return page;
}

function simulateDevices(camera) {
	const devices = navigator.mediaDevices;
	if (!devices) return; // about:blank, in Firefox
	const getUserMedia = devices.getUserMedia.bind(devices);
	devices.getUserMedia = (constraints) => {
		if (constraints.video) {
			const asked = constraints.video === true ? {} : constraints.video;
			constraints = { ...constraints, video: { ...asked, width: camera.width, height: camera.height } };
		}
		return getUserMedia(constraints);
	};
	window.encodedPictures = 0;
	window.VideoEncoder = class extends VideoEncoder {
		constructor(init) {
			super({
				...init,
				output: (chunk, metadata) => {
					window.encodedPictures++;
					init.output(chunk, metadata);
				},
			});
		}
	};
}

/** Puts the crowd script onto a page: many viewers without pictures. */
export async function addCrowd(page) {
	await page.addScriptTag({ path: path.join(import.meta.dirname, "..", "build", "crowd.js") });
}

export const stats = (page) => page.evaluate(() => window.trellis.stats());
export const encodedPictures = (page) => page.evaluate(() => window.encodedPictures);
export const publish = (page, what) => page.evaluate((w) => window.trellis.publish(w), what);
export const unpublish = (page) => page.evaluate(() => window.trellis.unpublish());
export const watch = (page, choice) => page.evaluate((c) => window.trellis.watch(c), choice);
export const sound = (page, on) => page.evaluate((o) => window.trellis.sound(o), on);
