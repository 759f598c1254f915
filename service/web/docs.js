// The calls of the API, each to be tried. They go to where the page is, under whatever path a proxy serves it.

import { key } from "./page/api.js";

const response = await fetch("openapi.json");
const spec = { ...(await response.json()), servers: [{ url: new URL(".", location.href).href }] };
const page = SwaggerUIBundle({
  spec,
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  onComplete: () => {
    if (key.get()) page.preauthorizeApiKey("bearer", key.get());
  },
});
