// Requests for approval and decisions, as docs/approvals.md describes them.
import { canonicalJson, isObject, type Json, type JsonObject, keepsDigits, NumberText, parseJson } from "../parts/json";
import { decodeText } from "../parts/text";

export interface ApprovalRequest {
  title: string;
  action: { name: string; arguments: JsonObject };
  digest: string;
  choices: string[];
  risk: { level: string; reasons: string[] } | null;
  // In milliseconds since 1970.
  expiresAt: number | null;
  correlationId: string | null;
}

const MAX_BYTES = 256 * 1024;
const DEFAULT_CHOICES = ["approve", "deny"];

// The request in the body of a message, or null if it is something else.
export function readRequest(data: Uint8Array): ApprovalRequest | null {
  const text = data.length <= MAX_BYTES ? decodeText(data) : null;
  if (text === null || !text.includes("approval.requested")) return null;
  let body: Json;
  try {
    body = parseJson(text);
  } catch {
    return null;
  }
  if (!isObject(body) || body.type !== "approval.requested" || !isObject(body.action)) return null;
  const { title, action, action_digest: digest, risk } = body;
  const args = action.arguments ?? {};
  if (typeof title !== "string" || typeof action.name !== "string" || !isObject(args)) return null;
  if (typeof digest !== "string") return null;
  return {
    title,
    action: { name: action.name, arguments: args },
    digest,
    choices: texts(body.choices) ?? DEFAULT_CHOICES,
    risk: isObject(risk) && typeof risk.level === "string" ? { level: risk.level, reasons: texts(risk.reasons) ?? [] } : null,
    expiresAt: body.expires_at instanceof NumberText ? Number(body.expires_at.text) * 1000 : null,
    correlationId: typeof body.correlation_id === "string" ? body.correlation_id : null,
  };
}

// Whether the digest is that of the action which the page shows; null if the browser cannot compute it.
export async function isDigestRight({ action, digest }: ApprovalRequest): Promise<boolean | null> {
  if (!keepsDigits || !globalThis.crypto?.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(actionJson(action))));
  return digest === `sha256:${[...hash].map((each) => each.toString(16).padStart(2, "0")).join("")}`;
}

// The JSON that a digest covers.
function actionJson({ name, arguments: args }: ApprovalRequest["action"]): string {
  return `{"name":${JSON.stringify(name)},"arguments":${canonicalJson(args)}}`;
}

// The body of a decision. `edited`: the JSON of other arguments, as the person wrote it.
export function decisionBody(request: ApprovalRequest, decision: string, reason: string, edited: string | null): string {
  const parts = [`"type":"approval.decided"`, `"decision":${JSON.stringify(decision)}`];
  if (reason !== "") parts.push(`"reason":${JSON.stringify(reason)}`);
  if (edited !== null) parts.push(`"edited_arguments":${edited}`);
  parts.push(`"action_digest":${JSON.stringify(request.digest)}`, `"action":${actionJson(request.action)}`);
  if (request.correlationId !== null) parts.push(`"correlation_id":${JSON.stringify(request.correlationId)}`);
  return `{${parts.join(",")}}`;
}

// Decision and reason of an answer; the answer itself if it is no decision.
export function readDecision(text: string): { decision: string; reason: string } {
  try {
    const body = parseJson(text);
    if (isObject(body) && body.type === "approval.decided" && typeof body.decision === "string") {
      return { decision: body.decision, reason: typeof body.reason === "string" ? body.reason : "" };
    }
  } catch {
    // It is text.
  }
  return { decision: "answer", reason: text };
}

function texts(value: Json | undefined): string[] | null {
  return Array.isArray(value) && value.every((each) => typeof each === "string") ? (value as string[]) : null;
}
