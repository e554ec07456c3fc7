/* The engines that translate a picture: this browser, or the server of the page.

   engine.translate({ file, model, shorter, z }, tell) resolves to { blob, seconds, label, width, height }
   and calls `tell` at each stage. engine.cancel() ends it, and the promise resolves to null. */

import { Fault } from "./picture.js";

export function browserEngine() {
  let worker = null, finish = null;
  function end(result) {
    const done = finish;
    finish = null;
    done?.(result);
  }
  function stop() {
    worker?.terminate();
    worker = null;
  }
  return {
    translate: (task, tell) => new Promise((resolve, reject) => {
      worker ??= startWorker();
      finish = resolve;
      worker.onmessage = ({ data }) => {
        if (data.stage === "done") return end(data);
        if (data.stage !== "failed") return tell(data);
        finish = null;
        stop(); // a worker that ran out of memory cannot be used again
        reject(new Fault(data.fault));
      };
      worker.onerror = (event) => {
        finish = null;
        stop();
        reject(new Fault(`The engine cannot start: ${event.message || "a file of this page is missing"}. Export the page again`));
      };
      worker.postMessage(task);
    }),
    cancel() {
      stop();
      end(null);
    },
  };
}

/* Start the worker from a blob, so that it inherits the page's content security policy. */
function startWorker() {
  const source = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return new Worker(address, { type: "module" });
}

export function serverEngine() {
  let stopping = null;
  return {
    async translate({ file, model, shorter, z }, tell) {
      stopping = new AbortController();
      const query = new URLSearchParams({ model: model.name });
      if (model.latent_dim) query.set("z", z.join(","));
      if (shorter) query.set("resize", shorter);
      tell({ stage: "running", label: "server" });
      const start = performance.now();
      try {
        const response = await fetch(`translate?${query}`, {
          method: "POST", body: file, headers: { Accept: "image/png" }, signal: stopping.signal,
        });
        if (!response.ok) throw new Fault(await reason(response));
        const blob = await response.blob();
        const { width, height } = await createImageBitmap(blob);
        return { blob, seconds: (performance.now() - start) / 1000, label: "server", width, height };
      } catch (error) {
        if (error.name === "AbortError") return null;
        if (error instanceof Fault) throw error;
        throw new Fault("The server does not answer. Start it again and reload this page");
      }
    },
    cancel: () => stopping?.abort(),
  };
}

/* Return the error line of the server's JSON answer. */
async function reason(response) {
  try {
    const { error, detail } = await response.json();
    const text = error ?? detail;
    if (typeof text === "string") return text;
    if (typeof text?.message === "string") return text.message;
  } catch { /* not JSON */ }
  return `The server answers ${response.status} ${response.statusText}`;
}
