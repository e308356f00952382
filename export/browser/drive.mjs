// Drives a page in headless Chromium for the tests: reads steps from standard input as JSON, prints what each gave.
//   node drive.mjs URL < steps.json
// A step is {do: 'fill'|'click'|'press'|'open'|'pixels'|'text'|'screenshot'|'size'|'reload', ...}.
import {readFileSync} from 'node:fs';
import {chromium} from 'playwright-core';

const url = process.argv[2];
const steps = JSON.parse(readFileSync(0));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({viewport: {width: 1200, height: 900}});
const problems = [];
page.on('pageerror', (error) => problems.push(String(error)));
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
const settled = () => page.waitForFunction('document.body.dataset.state === "ready"', null, {timeout: 60_000});
const results = [];
await page.goto(url);
await settled();
for (const step of steps) {
  let result = null;
  if (step.do === 'fill') {
    await page.locator(step.at).nth(step.nth ?? 0).evaluate((element, value) => {
      element.value = value;
      for (const type of ['input', 'change']) element.dispatchEvent(new Event(type, {bubbles: true}));
    }, step.value);
  } else if (step.do === 'click') {
    await page.locator(step.at).nth(step.nth ?? 0).click();
  } else if (step.do === 'press') {
    await page.locator(step.at).nth(step.nth ?? 0).focus();
    for (let i = 0; i < (step.times ?? 1); i++) await page.keyboard.press(step.key);
  } else if (step.do === 'open') {
    await page.locator('#file').setInputFiles(step.path);
  } else if (step.do === 'size') {
    await page.setViewportSize({width: step.width, height: step.height});
  } else if (step.do === 'goto') {
    await page.goto(step.url);
  } else if (step.do === 'screenshot') {
    await page.screenshot({path: step.path, fullPage: true});
  } else if (step.do === 'pixels') {
    result = await page.locator(step.at).evaluateAll((canvases) => canvases.map((canvas) => [
      ...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data,
    ].filter((_, i) => i % 4 === 0)));
  } else if (step.do === 'text') {
    result = await page.locator(step.at).evaluateAll((all) => all.filter((e) => e.checkVisibility()).map((e) => e.textContent));
  } else if (step.do === 'evaluate') {
    result = await page.evaluate(step.code);
  } else {
    throw new Error(`Unknown step ${JSON.stringify(step)}`);
  }
  await settled();  // after what the step began
  results.push(result);
}
console.log(JSON.stringify({results, problems}));
await browser.close();
