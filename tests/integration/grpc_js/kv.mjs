// Tells one story with the public API, as a program in another language would, and prints what it
// saw as one JSON object: node kv.mjs HOST:PORT PROTO_FOLDER GOOGLE_PROTO_FOLDER
import { randomBytes } from "node:crypto";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const [address, protos, googleProtos] = process.argv.slice(2);
const options = { keepCase: true, enums: String, defaults: true, arrays: true };
const definition = loader.loadSync("dynamo_protos/kv.proto", { ...options, includeDirs: [protos] });
const { KV } = grpc.loadPackageDefinition(definition).dynamo.v1;
const kv = new KV(address, grpc.credentials.createInsecure());

const types = new protobuf.Root();
types.resolvePath = (_, target) =>
  `${target.startsWith("dynamo_protos/") ? protos : googleProtos}/${target}`;
types.loadSync(["dynamo_protos/kv.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"], {
  keepCase: true,
});

function call(method, request) {
  const deadline = new Date(Date.now() + 10_000);
  return new Promise((resolve, reject) =>
    kv[method](request, { deadline }, (error, response) => (error ? reject(error) : resolve(response))),
  );
}

// The status of a call that must fail, with its details decoded by their type.
async function failure(method, request) {
  try {
    return { unexpected: await call(method, request) };
  } catch (error) {
    const [packed] = error.metadata.get("grpc-status-details-bin");
    const status = types.lookupType("google.rpc.Status").decode(packed);
    const details = {};
    for (const { type_url, value } of status.details) {
      const name = type_url.split("/").pop();
      const type = types.lookupType(name);
      details[name] = type.toObject(type.decode(value), { enums: String, longs: Number, defaults: true });
    }
    return { status: grpc.status[error.code], message: error.details, details };
  }
}

const text = (values) => values.map((value) => value.toString()).sort();
const item = (name) => ({ table: "cart", key: Buffer.from(`js-${name}-${randomBytes(6).toString("hex")}`) });

async function siblings() {
  const at = item("siblings");
  const before = await call("Get", at);
  const one = await call("Put", { ...at, value: Buffer.from("one") });
  await call("Put", { ...at, value: Buffer.from("two") });
  const both = await call("Get", at);
  await call("Put", { ...at, value: Buffer.from("both"), context: both.context });
  const merged = await call("Get", at);
  await call("Delete", { ...at, context: merged.context });
  const after = await call("Get", at);
  return {
    foundBefore: before.found,
    both: text(both.values),
    merged: text(merged.values),
    foundAfter: after.found,
    id: one.operation_id,
    outcome: (await call("GetOutcome", { operation_id: one.operation_id })).outcome,
  };
}

async function chained() {
  const at = { ...item("chained"), sort_key: Buffer.from("s") };
  const one = await call("Put", { ...at, value: Buffer.from("one") });
  await call("Put", { ...at, value: Buffer.from("two"), context: one.context });
  return text((await call("Get", { ...at, r: 1 })).values);
}

// An operation id made here, as kv.proto describes it.
function operationId(tableId, key) {
  const bytes = Buffer.alloc(9 + key.length + 20);
  bytes.writeUInt8(1, 0);
  bytes.writeUInt32BE(tableId, 1);
  bytes.writeUInt16BE(key.length, 5);
  key.copy(bytes, 7);
  const operation = 9 + key.length;
  bytes.writeUIntBE(Date.now(), operation, 6);
  randomBytes(8).copy(bytes, operation + 8);
  bytes.writeUInt32BE(1, operation + 16);
  return bytes.toString("base64url");
}

async function retried() {
  const at = item("retried");
  const write = { ...at, value: Buffer.from("once"), operation_id: operationId(1, at.key) };
  const first = await call("Put", write);
  const again = await call("Put", write);
  const values = text((await call("Get", at)).values);
  return { values, sameId: first.operation_id === again.operation_id };
}

async function errors() {
  const at = item("errors");
  const value = Buffer.from("x");
  return {
    unknownTable: await failure("Put", { ...at, table: "nope", value }),
    quorumAboveN: await failure("Put", { ...at, value, w: 99 }),
    quorumZero: await failure("Get", { ...at, r: 0 }),
    context: await failure("Put", { ...at, value, context: Buffer.from("forged") }),
    emptyKey: await failure("Get", { table: "cart" }),
    valueTooLarge: await failure("Put", { ...at, value: Buffer.alloc((1 << 20) + 1) }),
    operation: await failure("GetOutcome", { operation_id: "nonsense" }),
  };
}

const seen = {
  siblings: await siblings(),
  chained: await chained(),
  retried: await retried(),
  errors: await errors(),
};
kv.close();
console.log(JSON.stringify(seen));
