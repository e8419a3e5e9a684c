import express from "express";
import { serve } from "inngest/express";
import { inngest } from "./client.js";
import { functions } from "./functions.js";

const app = express();
app.use(express.json({ limit: "4mb" }));
app.use("/api/inngest", serve({ client: inngest, functions }));

const port = Number(process.env.PORT ?? 3000);
app.listen(port, () => console.log(`orders: http://localhost:${port}/api/inngest`));
