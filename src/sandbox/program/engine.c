/*
 * engine.c - JavaScriptCore (see engine.h).
 *
 * It runs as an interpreter in one thread: no machine code is made, so no memory need ever be
 * executable; nothing is missing after a fork; and memory comes from malloc, where a limit holds.
 * The answer is written at the moment the code's promise is settled: what the code has left running
 * does not count.
 */
#define _GNU_SOURCE
#include <JavaScriptCore/JavaScript.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"
#include "engine.h"
#include "frame.h"
#include "probe.h"

static const char prelude[] =
#include "prelude.inc"
	;

/* How the code ended, as the prelude says it. */
typedef enum Ending
{
	NEVER,
	RETURNED,
	THREW,
	UNREADABLE
} Ending;

static JSGlobalContextRef context;
static JSObjectRef		  runner; /* the prelude's run */
static struct timespec	  begun;
static size_t			  output_limit;
static int				  console_lines;
static size_t			  console_bytes;
static int				  console_dropped;
static uint64_t			  random_state[2];
static bool				  warming; /* nothing is written yet */

char **
engine_environment(size_t memory)
{
	static char	 collect[64];
	static char	 ram[64];
	static char *environment[] = {
		"FLOWFORGE_SANDBOX=1",
		"Malloc=1",				   /* the system's malloc instead of reservations of gigabytes */
		"MALLOC_ARENA_MAX=1",	   /* which needs no mprotect */
		"JSC_useJIT=0",			   /* an interpreter */
		"JSC_useRegExpJIT=0",	   /* for patterns, too */
		"JSC_useWasm=0",		   /* it reserves memory, and is machine code by another door */
		"JSC_useConcurrentGC=0",   /* one thread */
		"JSC_numberOfGCMarkers=1", /* one thread */
		"JSC_useConcurrentJIT=0",  /* one thread */
		"JSC_maxPerThreadStackUsage=4194304", /* of the stack's 8 MB: calls too deep are a
												 RangeError */
		"JSC_defaultErrorStackTraceLimit=20", /* the frames of errors are not counted as garbage */
		collect,
		ram,
		"TZ=UTC",
		"LANG=C.UTF-8",
		NULL};

	/* Garbage is collected before the limit is near, not when the machine's memory is. */
	snprintf(collect, sizeof(collect), "JSC_gcMaxHeapSize=%zu", memory / 16);
	snprintf(ram, sizeof(ram), "JSC_forceRAMSize=%zu", memory);
	return environment;
}

/* --- values --- */

static JSStringRef
js_string(const char *text)
{
	return JSStringCreateWithUTF8CString(text);
}

static JSValueRef
get(JSObjectRef object, const char *name)
{
	JSStringRef key = js_string(name);
	JSValueRef	value = JSObjectGetProperty(context, object, key, NULL);

	JSStringRelease(key);
	return value;
}

static void
set(JSObjectRef object, const char *name, JSValueRef value)
{
	JSStringRef key = js_string(name);

	JSObjectSetProperty(context, object, key, value, kJSPropertyAttributeNone, NULL);
	JSStringRelease(key);
}

/* A character of a UTF-16 string at `at`, which moves on; half of a surrogate pair is U+FFFD. */
static uint32_t
next_character(const JSChar *from, size_t length, size_t *at)
{
	uint32_t c = from[(*at)++];

	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c < 0xdc00 && *at < length && from[*at] >= 0xdc00 && from[*at] <= 0xdfff)
		return 0x10000 + ((c - 0xd800) << 10) + (from[(*at)++] - 0xdc00U);
	return 0xfffd;
}

static size_t
put_utf8(char *to, uint32_t c)
{
	if (c < 0x80)
	{
		to[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		to[0] = (char) (0xc0 | c >> 6);
		to[1] = (char) (0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000)
	{
		to[0] = (char) (0xe0 | c >> 12);
		to[1] = (char) (0x80 | (c >> 6 & 0x3f));
		to[2] = (char) (0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char) (0xf0 | c >> 18);
	to[1] = (char) (0x80 | (c >> 12 & 0x3f));
	to[2] = (char) (0x80 | (c >> 6 & 0x3f));
	to[3] = (char) (0x80 | (c & 0x3f));
	return 4;
}

/* Appends a JavaScript string as UTF-8. The engine's own function gives nothing for a string with
 * half of a surrogate pair. */
static void
add_js(Text *text, JSStringRef string, bool quoted)
{
	const JSChar *from = JSStringGetCharactersPtr(string);
	size_t		  length = JSStringGetLength(string);
	char		 *bytes = malloc(length * 3 + 1);
	size_t		  count = 0;

	if (bytes == NULL || from == NULL)
		crash_out_of_memory();
	for (size_t at = 0; at < length;)
		count += put_utf8(bytes + count, next_character(from, length, &at));
	if (quoted)
		text_add_quoted(text, bytes, count);
	else
		text_add(text, bytes, count);
	free(bytes);
}

/* --- answering --- */

static void __attribute__((noreturn)) answer(Text *body)
{
	char			end[120];
	struct timespec now;
	double			took;

	clock_gettime(CLOCK_MONOTONIC, &now);
	took =
		(double) (now.tv_sec - begun.tv_sec) * 1000 + (double) (now.tv_nsec - begun.tv_nsec) / 1e6;
	snprintf(end, sizeof(end), ",\"duration_ms\":%.3f,\"dropped\":%d}", took, console_dropped);
	text_add_string(body, end);
	_exit(frame_write(FF_SANDBOX_ANSWER, body->data, body->length) ? 0 : 1);
}

static void __attribute__((noreturn))
answer_error(const char *name, const char *message, bool final)
{
	Text body = {0};

	text_add_string(&body, "{\"error\":{\"name\":");
	text_add_quoted(&body, name, strlen(name));
	text_add_string(&body, ",\"message\":");
	text_add_quoted(&body, message, strlen(message));
	text_add_string(&body, final ? "},\"final\":true" : "}");
	answer(&body);
}

static void
add_member(Text *body, JSObjectRef object, const char *name)
{
	JSValueRef	value = get(object, name);
	JSStringRef text =
		JSValueIsString(context, value) ? JSValueToStringCopy(context, value, NULL) : NULL;

	if (text == NULL)
		return;
	text_add_string(body, body->data[body->length - 1] == '{' ? "\"" : ",\"");
	text_add_string(body, name);
	text_add_string(body, "\":");
	add_js(body, text, true);
	JSStringRelease(text);
}

/* An error as the prelude describes it: an object without a prototype, of texts and a number. */
static void __attribute__((noreturn)) answer_described(JSObjectRef error, bool final)
{
	Text	   body = {0};
	JSValueRef line = get(error, "line");
	char	   number[40];

	text_add_string(&body, "{\"error\":{");
	add_member(&body, error, "name");
	add_member(&body, error, "message");
	add_member(&body, error, "stack");
	if (JSValueIsNumber(context, line) && JSValueToNumber(context, line, NULL) > 0 &&
		JSValueToNumber(context, line, NULL) < 1e9)
	{
		snprintf(number, sizeof(number), ",\"line\":%.0f", JSValueToNumber(context, line, NULL));
		text_add_string(&body, number);
	}
	text_add_string(&body, final ? "},\"final\":true" : "}");
	answer(&body);
}

/* What an exception of the engine's says. */
static void __attribute__((noreturn)) answer_exception(JSValueRef exception)
{
	JSStringRef text = JSValueToStringCopy(context, exception, NULL);
	Text		message = {0};

	text_add_string(&message, "the result is no JSON: ");
	if (text != NULL)
		add_js(&message, text, false);
	answer_error("ResultError", message.data, false);
}

/* JSON.stringify escapes control characters and halves of surrogate pairs, and nothing else, by
 * number: so what cannot be kept is found in its text. */
static const char *
unkeepable(const char *json, size_t length)
{
	for (size_t i = 0; i + 5 < length; i++)
	{
		if (json[i] != '\\')
			continue;
		if (json[i + 1] == 'u' && json[i + 2] == 'd')
			return "the result has a text with half of a surrogate pair, which is no valid UTF-16";
		if (strncmp(json + i + 1, "u0000", 5) == 0)
			return "the result has a text with the character U+0000, which cannot be stored";
		i++;
	}
	return NULL;
}

static void __attribute__((noreturn)) answer_result(JSValueRef value)
{
	JSValueRef	exception = NULL;
	JSStringRef json = JSValueCreateJSONString(context, value, 0, &exception);
	Text		result = {0};
	Text		body = {0};
	const char *fault;
	char		message[120];

	if (exception != NULL)
		answer_exception(exception);
	snprintf(message, sizeof(message), "the result is larger than the %zu bytes it may have",
			 output_limit);
	if (json != NULL && JSStringGetLength(json) > output_limit)
		answer_error("ResultError", message, true);
	if (json == NULL)
		text_add_string(&result, "null");
	else
		add_js(&result, json, false);
	if (result.length > output_limit)
		answer_error("ResultError", message, true);
	fault = unkeepable(result.data, result.length);
	if (fault != NULL)
		answer_error("ResultError", fault, false);
	text_add_string(&body, *result.data == '{' ? "{\"result\":" : "{\"result\":{\"result\":");
	text_add(&body, result.data, result.length);
	text_add_string(&body, *result.data == '{' ? "" : "}");
	answer(&body);
}

/* --- what the prelude calls --- */

static JSValueRef
call_settle(JSContextRef ctx, JSObjectRef function, JSObjectRef this, size_t count,
			const JSValueRef values[], JSValueRef *exception)
{
	Ending ending = count == 2 ? (Ending) JSValueToNumber(ctx, values[0], NULL) : NEVER;

	if (warming || ending == NEVER)
		return JSValueMakeUndefined(ctx);
	if (ending == RETURNED)
		answer_result(values[1]);
	answer_described((JSObjectRef) values[1], ending == UNREADABLE);
}

static JSValueRef
call_log(JSContextRef ctx, JSObjectRef function, JSObjectRef this, size_t count,
		 const JSValueRef values[], JSValueRef *exception)
{
	JSStringRef level = count == 2 ? JSValueToStringCopy(ctx, values[0], NULL) : NULL;
	JSStringRef text = level ? JSValueToStringCopy(ctx, values[1], NULL) : NULL;
	Text		body = {0};

	if (text == NULL)
		return JSValueMakeUndefined(ctx);
	if (console_lines >= FF_SANDBOX_CONSOLE_LINES ||
		console_bytes + JSStringGetLength(text) > FF_SANDBOX_CONSOLE_BYTES)
		console_dropped++;
	else
	{
		text_add_string(&body, "{\"level\":");
		add_js(&body, level, true);
		text_add_string(&body, ",\"text\":");
		add_js(&body, text, true);
		text_add_string(&body, "}");
		console_lines++;
		console_bytes += body.length;
		if (!warming && !frame_write(FF_SANDBOX_CONSOLE, body.data, body.length))
			_exit(1);
		free(body.data);
	}
	JSStringRelease(level);
	JSStringRelease(text);
	return JSValueMakeUndefined(ctx);
}

/* xorshift128+, because the engine's own state is the same in every child. */
static JSValueRef
call_random(JSContextRef ctx, JSObjectRef function, JSObjectRef this, size_t count,
			const JSValueRef values[], JSValueRef *exception)
{
	uint64_t x = random_state[0];
	uint64_t y = random_state[1];

	random_state[0] = y;
	x ^= x << 23;
	random_state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
	return JSValueMakeNumber(ctx, (double) ((random_state[1] + y) >> 11) * 0x1p-53);
}

/* The function whose text it is, as a part of the code: so frames of it are told by that name. */
static JSValueRef
call_compile(JSContextRef ctx, JSObjectRef function, JSObjectRef this, size_t count,
			 const JSValueRef values[], JSValueRef *exception)
{
	JSStringRef text = count == 1 ? JSValueToStringCopy(ctx, values[0], exception) : NULL;
	JSStringRef name = js_string("code");
	JSValueRef	made = text ? JSEvaluateScript(ctx, text, NULL, name, 1, exception) : NULL;

	if (text != NULL)
		JSStringRelease(text);
	JSStringRelease(name);
	return made ? made : JSValueMakeUndefined(ctx);
}

/* --- starting --- */

static JSValueRef
function(const char *name, JSObjectCallAsFunctionCallback callback)
{
	JSStringRef key = js_string(name);
	JSObjectRef made = JSObjectMakeFunctionWithCallback(context, key, callback);

	JSStringRelease(key);
	return made;
}

static JSValueRef
evaluate(const char *source)
{
	JSStringRef text = js_string(source);
	JSValueRef	value = JSEvaluateScript(context, text, NULL, NULL, 1, NULL);

	JSStringRelease(text);
	return value;
}

/* A context with the prelude in it. */
static const char *
furnish(JSContextGroupRef group)
{
	JSValueRef made;
	JSValueRef doors[4];

	context = JSGlobalContextCreateInGroup(group, NULL);
	doors[0] = function("log", call_log);
	doors[1] = function("random", call_random);
	doors[2] = function("compile", call_compile);
	doors[3] = function("settle", call_settle);
	made = evaluate(prelude);
	if (made == NULL || !JSValueIsObject(context, made))
		return "the prelude cannot be read";
	made = JSObjectCallAsFunction(context, (JSObjectRef) made, NULL, 4, doors, NULL);
	if (made == NULL || !JSValueIsObject(context, made))
		return "the prelude failed";
	runner = (JSObjectRef) made;
	JSValueProtect(context, runner);
	probe_install(context);
	return NULL;
}

/* Gives false when the request is not what it should be. */
static bool
call(const char *request)
{
	JSStringRef text = js_string(request);
	JSValueRef	parsed = JSValueMakeFromJSONString(context, text);
	JSObjectRef global = JSContextGetGlobalObject(context);
	JSValueRef	code;

	JSStringRelease(text);
	if (parsed == NULL || !JSValueIsObject(context, parsed))
		return false;
	code = get((JSObjectRef) parsed, "code");
	if (!JSValueIsString(context, code))
		return false;
	set(global, "context", get((JSObjectRef) parsed, "context"));
	set(global, "input", get((JSObjectRef) parsed, "input"));
	/* Jobs of promises are done before this returns. */
	JSObjectCallAsFunction(context, runner, NULL, 1, &code, NULL);
	return true;
}

/* Has the engine make what it makes when first needed, in a context that is then thrown away. */
static const char *
warm(JSContextGroupRef group)
{
	static const char request[] =
		"{\"code\":\"console.log('a', {b: 1}, [2]); class A { #x = 1; get x() { return this.#x } } "
		"const {a, ...rest} = {a: 1, b: [1, 2].map(x => x + 1)}; await null; for (const i of [1]) new Map([[i, `${i}`]]);"
		" /(?<y>a+)/u.exec('aa'); JSON.parse(JSON.stringify(rest)); new Date().toISOString(); try { null.x } catch (e) { e.stack }"
		" Math.random(); input?.x ?? 2n ** 3n; return {r: [...'ab'].sort().join(), c: context.step}\","
		"\"context\":{\"step\":{\"n\":[1.5,true,null]}},\"input\":{\"x\":\"text\"}}";
	const char *fault = furnish(group);

	if (fault != NULL)
		return fault;
	warming = true;
	if (!call(request))
		return "the engine cannot run a first call";
	warming = false;
	console_lines = 0;
	console_bytes = 0;
	JSValueUnprotect(context, runner);
	JSGlobalContextRelease(context);
	return NULL;
}

const char *
engine_start(void)
{
	JSContextGroupRef group = JSContextGroupCreate();
	const char		 *fault = warm(group);

	if (fault == NULL)
		fault = furnish(group);
	if (fault == NULL)
		JSGarbageCollect(context);
	return fault;
}

void
engine_run(char *request, size_t length, size_t output)
{
	clock_gettime(CLOCK_MONOTONIC, &begun);
	output_limit = output;
	if (getrandom(random_state, sizeof(random_state), 0) != sizeof(random_state))
		_exit(1);
	random_state[0] |= 1; /* never all zero */
	if (strlen(request) != length || !call(request))
		answer_error("RequestError", "the request cannot be read", true);
	answer_error("PromiseError", "the code waits for a promise that nothing will settle", false);
}
