// validatorUrl: the default would send the description to a server of swagger's.
window.onload = () => SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger",
  validatorUrl: null,
  persistAuthorization: false,
});
