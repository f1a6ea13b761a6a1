// The page: signs in, then shows one of its pages.
import { render } from "preact";
import { App } from "./app";

render(<App />, document.body);
