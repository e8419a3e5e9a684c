import express from "express";
import { serve } from "inngest/express";
import { inngest } from "./client.js";
import { functions } from "./functions.js";
import { stock } from "./shop.js";

const app = express();
app.use(express.json({ limit: "4mb" }));
app.use("/api/inngest", serve({ client: inngest, functions }));

// What the workflow in ../../restock-workflow looks at.
app.get("/stock", (_request, response) => response.json({ articles: stock }));

const port = Number(process.env.PORT ?? 3000);
app.listen(port, () => console.log(`orders: http://localhost:${port}/api/inngest`));
