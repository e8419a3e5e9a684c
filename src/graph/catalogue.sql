-- The types of nodes, as a builder shows them: a panel is made of config_schema, and what later nodes can name of output_schema.
-- Schemas are of JSON Schema 2020-12 (docs/graphs.md says which keywords count for forms). Written by the install script only; the code
-- of each type is src/graph/step_<type>.c.
create table flowforge.step_type (
	type text primary key,
	place integer not null unique,
	label text not null,
	icon text not null,
	category text not null check (category in ('integrations', 'ai', 'logic', 'data', 'flow', 'custom')),
	description text not null,
	config_schema jsonb not null,
	output_schema jsonb not null
);
comment on table flowforge.step_type is 'The types of nodes a graph may have: what a builder shows, and the JSON Schemas of their configs and outputs.';
comment on column flowforge.step_type.place is 'The order in which a palette shows them.';
comment on column flowforge.step_type.icon is 'The name of an icon of Lucide.';
comment on column flowforge.step_type.config_schema is
'What data.config may be; a text with a template in it may stand for anything. x-control names the control of a form: code, expression, text, '
'table (names and values), list, credential, function, step or schema. x-secrets: {{ secret.NAME }} may stand in it.';

insert into flowforge.step_type (place, type, label, icon, category, description, config_schema, output_schema) values
(1, 'http_request', 'HTTP request', 'globe', 'integrations', 'Calls a URL and gives its answer.', '{
	"type": "object",
	"required": ["url"],
	"properties": {
		"url": {"x-secrets": true, "type": "string", "title": "URL", "description": "Where to call, with http or https.", "minLength": 1, "examples": ["https://api.example.com/users/{{ input.id }}"]},
		"method": {"title": "Method", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"], "default": "GET"},
		"headers": {"x-secrets": true, "type": ["object", "null"], "title": "Headers", "description": "Names and values.", "x-control": "table", "additionalProperties": {"type": ["string", "number", "boolean"]}, "default": {}},
		"params": {"x-secrets": true, "type": ["object", "null"], "title": "Query", "description": "Parameters that are added to the URL.", "x-control": "table", "default": {}},
		"body": {"x-secrets": true, "title": "Body", "description": "A text is sent as it is, anything else as JSON.", "x-control": "code", "default": null},
		"timeout_seconds": {"type": ["number", "null"], "title": "Timeout", "description": "Seconds until the answer must be complete.", "exclusiveMinimum": 0, "maximum": 3600, "default": 30},
		"max_redirects": {"type": ["integer", "null"], "title": "Redirects", "description": "How many are followed.", "minimum": 0, "maximum": 10, "default": 0},
		"auth": {
			"x-secrets": true,
			"type": ["object", "null"], "title": "Credential", "description": "Who asks. It is shown nowhere once the request is made.", "x-control": "credential",
			"required": ["type"],
			"properties": {
				"type": {"enum": ["basic", "bearer", "header"], "title": "Kind"}, "username": {"type": "string"}, "password": {"type": "string"},
				"token": {"type": "string"}, "name": {"type": "string", "description": "Of the header."}, "value": {"type": "string"}
			},
			"default": null
		}
	}
}', '{
	"type": "object",
	"required": ["status_code", "headers", "body"],
	"properties": {
		"status_code": {"type": "integer", "title": "Status"},
		"headers": {"type": "object", "title": "Headers", "description": "By their names in lower case."},
		"body": {"title": "Body", "description": "Parsed when it is JSON, otherwise a text."},
		"encoding": {"const": "base64", "title": "Encoding", "description": "Of a body that is no text."}
	}
}'),
(2, 'webhook', 'Webhook', 'webhook', 'integrations', 'Sends a signed message to a URL, by Standard Webhooks.', '{
	"type": "object",
	"required": ["url"],
	"properties": {
		"url": {"x-secrets": true, "type": "string", "title": "URL", "minLength": 1, "examples": ["https://example.com/hooks/orders"]},
		"payload": {"x-secrets": true, "title": "Payload", "description": "What is sent, as JSON.", "x-control": "code", "default": {}},
		"timeout_seconds": {"type": ["number", "null"], "title": "Timeout", "description": "Seconds until the answer must be complete.", "exclusiveMinimum": 0, "maximum": 3600, "default": 30},
		"secret": {"x-secrets": true, "type": ["string", "null"], "title": "Secret", "description": "What the message is signed with; the receiver knows it too.", "x-control": "credential", "examples": ["{{ secret.ORDERS_HOOK }}"], "default": null}
	}
}', '{
	"type": "object",
	"required": ["status_code", "body"],
	"properties": {
		"status_code": {"type": "integer", "title": "Status"},
		"body": {"title": "Body", "description": "What the receiver answered."}
	}
}'),
(3, 'send_email', 'Send email', 'mail', 'integrations', 'Sends an email by SMTP.', '{
	"type": "object",
	"required": ["to", "subject", "body"],
	"properties": {
		"to": {"title": "To", "description": "An address, or a list of them.", "x-control": "list", "type": ["string", "array"], "minLength": 1, "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 100},
		"subject": {"type": "string", "title": "Subject"},
		"body": {"type": "string", "title": "Text", "x-control": "text"},
		"html": {"type": ["string", "null"], "title": "HTML", "description": "The same as a page; readers show one of the two.", "x-control": "code", "default": null},
		"from": {"type": ["string", "null"], "title": "From", "description": "An address; usually that of the settings.", "default": null}
	}
}', '{
	"type": "object",
	"required": ["sent_to", "subject", "message_id", "status"],
	"properties": {
		"sent_to": {"type": "array", "items": {"type": "string"}, "title": "Sent to"},
		"subject": {"type": "string", "title": "Subject"},
		"message_id": {"type": "string", "title": "Message id"},
		"status": {"const": "sent", "title": "Status", "description": "The mail server has taken it."}
	}
}'),
(4, 'llm_call', 'Model call', 'sparkles', 'ai', 'Asks a language model.', '{
	"type": "object",
	"required": ["model"],
	"anyOf": [{"required": ["messages"]}, {"required": ["prompt"]}],
	"properties": {
		"provider": {"type": ["string", "null"], "title": "Provider", "description": "A provider that is set up; usually the one whose model it is.", "examples": ["openai", "anthropic", "gemini", "bedrock"], "default": null},
		"model": {"type": "string", "title": "Model", "description": "As its provider calls it; provider/model names both.", "minLength": 1, "maxLength": 200, "examples": ["gpt-4o", "claude-sonnet-4-5", "mistral/mistral-small-2506"]},
		"prompt": {"type": ["string", "null"], "title": "Prompt", "description": "One message of the user.", "x-control": "text"},
		"system": {"type": ["string", "null"], "title": "System", "description": "What the model is to be and to do.", "x-control": "text"},
		"messages": {
			"type": ["array", "null"], "title": "Messages", "description": "A conversation, instead of a prompt.", "x-control": "list",
			"items": {"type": "object", "required": ["role"], "properties": {"role": {"enum": ["system", "developer", "user", "assistant", "tool"]}, "content": {"title": "Content"}}}
		},
		"temperature": {"type": ["number", "null"], "title": "Temperature", "description": "0: the likeliest answer, higher: more variety.", "minimum": 0, "maximum": 2},
		"max_tokens": {"type": ["integer", "null"], "title": "Longest answer", "description": "In tokens.", "minimum": 1},
		"tools": {"type": ["array", "null"], "title": "Tools", "description": "What the model may ask to be called.", "x-control": "code", "items": {"type": "object"}},
		"tool_choice": {"type": ["string", "object", "null"], "title": "Use of tools", "description": "auto, none, required, or {name} of the one to be called.", "pattern": "^(auto|none|required)$"},
		"stop": {"type": ["string", "array", "null"], "title": "Stop at", "description": "Texts at which the answer ends.", "x-control": "list", "items": {"type": "string"}, "maxItems": 16},
		"response_format": {"title": "Form of the answer", "description": "json, or a JSON Schema.", "x-control": "schema", "type": ["string", "object", "null"], "pattern": "^(text|json)$"},
		"stream": {"type": ["boolean", "null"], "title": "Show it as it comes", "description": "To those who follow the run live.", "default": false}
	}
}', '{
	"type": "object",
	"required": ["content", "model", "usage", "finish_reason"],
	"properties": {
		"content": {"type": ["string", "null"], "title": "Answer"},
		"parsed": {"title": "Answer as a value", "description": "When JSON was asked for, and the answer is JSON."},
		"model": {"type": "string", "title": "Model"},
		"provider": {"type": "string", "title": "Provider"},
		"usage": {
			"type": "object", "title": "Usage",
			"properties": {
				"prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"},
				"cost_usd": {"type": ["number", "null"], "description": "Null when the price is not known."}, "cost_known": {"type": "boolean"}, "latency_ms": {"type": "number"}
			}
		},
		"finish_reason": {"type": ["string", "null"], "title": "Why it ended", "description": "stop, length, tool_calls or content_filter; rarely a word of the provider''s own."},
		"tool_calls": {
			"type": "array", "title": "Tool calls",
			"items": {"type": "object", "properties": {"id": {"type": ["string", "null"]}, "name": {"type": ["string", "null"]}, "arguments": {"type": "object"}}}
		}
	}
}'),
(5, 'condition', 'Condition', 'git-branch', 'logic', 'Takes one of two ways.', '{
	"type": "object",
	"required": ["expression"],
	"properties": {
		"expression": {"type": "string", "title": "Expression", "description": "Whether it counts as true chooses the way.", "x-control": "expression", "minLength": 1, "examples": ["{{ check.count }} > 5", "input.total >= 100 and not fetch.body.paid"]}
	}
}', '{
	"type": "object",
	"required": ["result", "branch"],
	"properties": {
		"result": {"type": "boolean", "title": "Result"},
		"branch": {"enum": ["true", "false"], "title": "Way"}
	}
}'),
(6, 'for_each', 'For each', 'repeat', 'logic', 'Does one thing for each item of a list.', '{
	"type": "object",
	"required": ["items"],
	"properties": {
		"items": {"type": "array", "title": "Items", "description": "A list, or a reference to one.", "x-control": "list", "maxItems": 100000, "examples": ["{{ fetch.body.users }}"]},
		"handler": {"type": ["string", "null"], "title": "Step", "description": "The type of step that is done for each item; without one the items are the results.", "x-control": "step"},
		"item_config": {"type": ["object", "null"], "title": "Its config", "description": "{{ _item }} is the item, {{ _index }} its place, from 0.", "x-control": "code", "default": {}},
		"max_parallel": {"type": ["integer", "null"], "title": "At a time", "minimum": 1, "maximum": 1000, "default": 1},
		"on_item_error": {"title": "When an item fails", "description": "continue: its result is {_error, _index}; fail: the step fails.", "enum": ["continue", "fail", null], "default": "continue"}
	}
}', '{
	"type": "object",
	"required": ["items", "count", "results"],
	"properties": {
		"items": {"type": "array", "title": "Items"},
		"count": {"type": "integer", "title": "How many"},
		"results": {"type": "array", "title": "Results", "description": "In the order of the items."}
	}
}'),
(7, 'transform', 'Transform', 'shuffle', 'data', 'Makes a value of what is there.', '{
	"type": "object",
	"anyOf": [{"required": ["mapping"]}, {"required": ["output"]}],
	"properties": {
		"mapping": {"title": "Mapping", "description": "Names and templates of their values.", "x-control": "table", "examples": [{"name": "{{ fetch.body.name | upper }}"}]},
		"output": {"title": "Output", "description": "The same under another name; any value.", "x-control": "code"}
	}
}', '{
	"type": "object",
	"description": "The mapping with its templates rendered; a value that is no object is result.",
	"properties": {"result": {}}
}'),
(8, 'database_query', 'Database query', 'database', 'data', 'Runs one statement in this database; it and the step''s end are one transaction.', '{
	"type": "object",
	"required": ["query"],
	"properties": {
		"query": {"type": "string", "title": "Query", "description": "One statement, no template; $1 is the first parameter.", "x-control": "code", "minLength": 1, "examples": ["select id, total from orders where customer = $1"]},
		"params": {"type": ["array", "null"], "title": "Parameters", "description": "Bound to $1, $2, ..., never pasted.", "x-control": "list", "default": []},
		"role": {"type": ["string", "null"], "title": "Role", "description": "The database role it runs as; usually the workflow''s.", "default": null},
		"timeout_seconds": {"type": ["number", "null"], "title": "Timeout", "description": "Seconds it may run.", "minimum": 0, "maximum": 86400, "default": null}
	}
}', '{
	"type": "object",
	"required": ["rows", "count"],
	"properties": {
		"rows": {"type": "array", "title": "Rows", "description": "Of a select, or what insert, update and delete return.", "items": {"type": "object"}},
		"count": {"type": "integer", "title": "How many rows", "description": "That were read or changed."}
	}
}'),
(9, 'delay', 'Delay', 'timer', 'flow', 'Waits for a time; nothing is held meanwhile.', '{
	"type": "object",
	"anyOf": [{"required": ["seconds"]}, {"required": ["until"]}],
	"properties": {
		"seconds": {"title": "Seconds", "description": "Or a duration such as 1h30m.", "type": ["number", "string", "null"], "minimum": 0, "maximum": 31622400, "pattern": "^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h|d|w)?)+$"},
		"until": {"type": ["string", "null"], "title": "Until", "description": "An instant, instead of seconds.", "examples": ["2030-01-31T12:00:00Z", "{{ input.due }}"]}
	}
}', '{
	"type": "object",
	"required": ["delayed_seconds"],
	"properties": {"delayed_seconds": {"type": "number", "title": "Seconds it waited"}}
}'),
(10, 'wait_for_approval', 'Wait for approval', 'user-check', 'flow', 'Waits until a person decides.', '{
	"type": "object",
	"properties": {
		"prompt": {"type": ["string", "null"], "title": "Question", "description": "What is to be decided.", "x-control": "text", "default": "Please review and approve to continue."},
		"approvers": {"type": ["array", "null"], "title": "Approvers", "description": "Who may decide; everybody when nobody is named.", "x-control": "list", "items": {"type": "string", "minLength": 1}, "maxItems": 100, "default": null},
		"timeout": {"type": ["string", "number", "null"], "title": "Timeout", "description": "A duration such as 30m, 12h or 7d, or seconds; then the node fails.", "default": null},
		"form": {"type": ["object", "null"], "title": "Form", "description": "A JSON Schema of the data that is asked for.", "x-control": "schema", "default": null}
	}
}', '{
	"type": "object",
	"description": "The data of whoever approved."
}'),
(11, 'wait_for_event', 'Wait for event', 'radio', 'flow', 'Waits until an event comes.', '{
	"type": "object",
	"required": ["event_name"],
	"properties": {
		"event_name": {"type": "string", "title": "Event", "minLength": 1, "maxLength": 256, "examples": ["order/paid"]},
		"match": {"type": ["string", "object", "null"], "title": "Match", "description": "A member that this event has in common with the run''s own, or members of its data and their values.", "examples": ["data.order_id"], "default": null},
		"if": {"type": ["string", "null"], "title": "If", "description": "An expression over async, the event that comes, and event, the run''s own.", "x-control": "expression", "examples": ["async.data.order == {{ order.id }}"], "default": null},
		"timeout": {"type": ["string", "number", "null"], "title": "Timeout", "description": "A duration such as 30m, 12h or 7d, or seconds; then the node fails.", "default": null}
	}
}', '{
	"type": "object",
	"description": "The event''s data."
}'),
(12, 'inline_code', 'Code', 'code', 'custom', 'Runs JavaScript in a sandbox without network and files.', '{
	"type": "object",
	"required": ["code"],
	"properties": {
		"language": {"title": "Language", "enum": ["javascript"], "default": "javascript"},
		"code": {"type": "string", "title": "Code", "description": "It has context and input; what it returns or assigns to result is the output.", "x-control": "code", "minLength": 1, "examples": ["return { total: context.fetch.body.items.reduce((sum, item) => sum + item.price, 0) }"]},
		"timeout_seconds": {"type": ["number", "null"], "title": "Timeout", "description": "Seconds it may run.", "exclusiveMinimum": 0, "maximum": 300, "default": 5}
	}
}', '{
	"type": "object",
	"description": "What the code returned or assigned to result; a value that is no object is result.",
	"properties": {"result": {}}
}'),
(13, 'function_call', 'Function', 'square-function', 'custom', 'Calls a function: one of an app, another graph, or one of this database.', '{
	"type": "object",
	"required": ["function"],
	"properties": {
		"function": {"type": "string", "title": "Function", "x-control": "function", "minLength": 1},
		"args": {"type": ["object", "null"], "title": "Arguments", "description": "The data of the event that it is called with.", "x-control": "table", "default": {}},
		"wait": {"type": ["boolean", "null"], "title": "Wait for its result", "default": true},
		"timeout": {"type": ["string", "number", "null"], "title": "Timeout", "description": "A duration such as 30m, or seconds, to wait at the most.", "default": null}
	}
}', '{
	"type": "object",
	"description": "What the function returned; a value that is no object is result.",
	"properties": {"result": {}}
}');

create function flowforge.step_type_json(entry flowforge.step_type) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('type', entry.type, 'label', entry.label, 'icon', entry.icon, 'category', entry.category,
		'description', entry.description, 'config_schema', entry.config_schema, 'output_schema', entry.output_schema)
$$;
comment on function flowforge.step_type_json(flowforge.step_type) is 'A type of nodes as the API shows it.';
