// The calls of the API, each to be tried. They go to where the page is, under whatever path a proxy serves it.

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
    const key = sessionStorage.getItem("key");
    if (key) page.preauthorizeApiKey("bearer", key);
  },
});
