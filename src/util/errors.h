/*
 * errors.h - every error a caller can cause: SQLSTATE class FF, the HTTP status the gateway answers
 * it with, and a title.
 *
 * FF0xx events, functions and runs; FF1xx the expression language; FF2xx the HTTP API; FF3xx
 * triggers; FF4xx steps the server takes itself; FF5xx graphs; FF6xx who may do what, and live
 * streams. docs/errors.md is made from this table. Usage: ereport(ERROR,
 * (errcode(FF_ERR_EVENT_NAME), errmsg(...), errdetail(...), errhint(...))).
 */
#ifndef FF_ERRORS_H
#define FF_ERRORS_H

#include "utils/elog.h"

/* X(name, the three characters after FF, HTTP status, title) */
#define FF_ERROR_TABLE(X)                                                                          \
	X(EVENT_NAME, '0', '0', '1', 400, "The event's name is missing, too long or reserved")         \
	X(EVENT_DATA, '0', '0', '2', 400, "The event's data is not an object")                         \
	X(EVENT_SIZE, '0', '0', '3', 413, "The event is too large")                                    \
	X(EVENT_TIME, '0', '0', '4', 400, "The event's time is out of range")                          \
	X(EVENT_FORM, '0', '0', '5', 400, "An event is not of the form {name, data, id, user, ts}")    \
	X(EVENT_COUNT, '0', '0', '6', 400, "Too many events in one call")                              \
	X(EVENT_DEPTH, '0', '0', '7', 400, "The event's data is nested too deeply")                    \
	X(EVENT_TENANT, '0', '0', '8', 404, "The tenant does not exist")                               \
	X(EVENT_SESSIONS, '0', '0', '9', 400, "An event's sessions cannot be used")                    \
	X(EVENT_RATE, '0', '7', '0', 429, "The tenant sends more events a second than it may")         \
	X(TENANT_LIMITS, '0', '7', '1', 400, "A tenant's share or limit cannot be set so")             \
	X(RUN_NOT_FOUND, '0', '1', '0', 404, "The run does not exist")                                 \
	X(RUN_NOT_COMMITTED, '0', '1', '1', 409, "The run was started by this very transaction")       \
	X(RUN_STATE, '0', '1', '2', 500, "A run's stored state cannot be read")                        \
	X(FUNCTION_NOT_FOUND, '0', '1', '3', 404, "The function does not exist")                       \
	X(TRANSITION, '0', '1', '4', 409,                                                              \
	  "A run or step cannot change from its status to the one asked for")                          \
	X(APPEND_ONLY, '0', '2', '0', 405, "The log is append-only")                                   \
	X(SIGNAL_NAME, '0', '3', '0', 400, "The signal's name is missing or too long")                 \
	X(CHECKPOINT_FORM, '0', '4', '0', 400, "A reported step is not of the form it should have")    \
	X(CHECKPOINT_STALE, '0', '4', '1', 409, "The call that reports a step is over")                \
	X(CHECKPOINT_SIZE, '0', '4', '2', 413, "The run's steps have more to keep than it may")        \
	X(STEP_NOT_FOUND, '0', '6', '0', 404, "The run has no such step")                              \
	X(RUN_FILTER, '0', '6', '1', 400, "A filter of runs is not of the form it should have")        \
	X(EVENT_GONE, '0', '6', '2', 410, "The run's event is no longer kept")                         \
	X(APP_NOT_FOUND, '0', '6', '3', 404, "The app does not exist")                                 \
	X(EXPRESSION_SYNTAX, '1', '0', '1', 400, "An expression cannot be read")                       \
	X(EXPRESSION_UNDEFINED, '1', '0', '2', 400, "An expression uses an unknown name")              \
	X(EXPRESSION_MISSING_KEY, '1', '0', '3', 400, "An object has no such key")                     \
	X(EXPRESSION_RANGE, '1', '0', '4', 400, "A list has no such index")                            \
	X(EXPRESSION_BAD_INDEX, '1', '0', '5', 400,                                                    \
	  "A list is indexed by something that is not an integer")                                     \
	X(EXPRESSION_NAVIGATE, '1', '0', '6', 400, "A value has no members")                           \
	X(EXPRESSION_TYPE, '1', '0', '7', 400, "An operator or function does not take this type")      \
	X(EXPRESSION_DIVISION, '1', '0', '8', 400, "Division by zero")                                 \
	X(EXPRESSION_FUNCTION, '1', '0', '9', 400, "An expression calls an unknown function")          \
	X(EXPRESSION_LIMIT, '1', '1', '0', 400, "An expression is too large or takes too long")        \
	X(NOT_FOUND, '2', '0', '1', 404, "There is nothing at this path")                              \
	X(METHOD, '2', '0', '2', 405, "The path does not answer this method")                          \
	X(BAD_JSON, '2', '0', '3', 400, "The body is not the JSON it should be")                       \
	X(BAD_PARAMETER, '2', '0', '4', 400, "A parameter is not of the form it should have")          \
	X(UNAUTHORIZED, '2', '0', '5', 401, "The request does not prove that it may do this")          \
	X(TOO_LARGE, '2', '0', '6', 413, "The body is too large")                                      \
	X(SERVER_KIND, '2', '0', '7', 400, "The app expects another kind of server")                   \
	X(FUNCTION_CONFIG, '2', '0', '8', 400, "A function's configuration is not valid")              \
	X(FUNCTION_OWNER, '2', '0', '9', 409, "Another app has a function of this id")                 \
	X(SYNC, '2', '1', '0', 502, "An app did not say which functions it serves")                    \
	X(GRAPHQL, '2', '1', '1', 400, "A GraphQL query cannot be read or asks for what is not there") \
	X(REPEAT, '2', '1', '2', 422, "The idempotency key was used for another request")              \
	X(CRON, '3', '0', '1', 400, "A cron schedule cannot be read")                                  \
	X(SCHEDULE, '3', '0', '2', 400, "A schedule is not of the form it should have")                \
	X(SCHEDULE_NOT_FOUND, '3', '0', '3', 404, "The schedule does not exist")                       \
	X(HOOK_NOT_FOUND, '3', '1', '1', 404, "The webhook does not exist")                            \
	X(HOOK, '3', '1', '2', 400, "A webhook is not of the form it should have")                     \
	X(HOOK_UNVERIFIED, '3', '1', '3', 401, "A webhook's request does not prove who sent it")       \
	X(HOOK_EVENT, '3', '1', '4', 400, "A webhook's transform gives no event")                      \
	X(WATCH_TABLE, '3', '2', '1', 400, "This cannot be watched")                                   \
	X(WATCH, '3', '2', '2', 400, "A watch is not of the form it should have")                      \
	X(WATCH_NOT_FOUND, '3', '2', '3', 404, "The table is not watched")                             \
	X(WATCH_PRIVILEGE, '3', '2', '4', 403, "The server may not watch this table")                  \
	X(STEP_STATEMENT, '4', '0', '1', 400, "A Sql step cannot run this statement")                  \
	X(STEP_PARAMETERS, '4', '0', '2', 400, "A Sql step's parameters are not those of its query")   \
	X(STEP_OUTPUT, '4', '0', '3', 413, "A step's result is too large")                             \
	X(STEP_ROLE, '4', '0', '4', 403, "An app's steps cannot run as this database role")            \
	X(STEP_OVER, '4', '0', '5', 409, "The step is already over, or nobody waits for it")           \
	X(APPROVAL_NOT_FOUND, '4', '0', '6', 404, "The approval request does not exist")               \
	X(APPROVAL_DECIDED, '4', '0', '7', 409, "The approval request is already decided or over")     \
	X(APPROVAL_APPROVER, '4', '0', '8', 403, "Somebody else is to decide this request")            \
	X(APPROVAL_FORM, '4', '0', '9', 422, "The decision's data is not what the form asks for")      \
	X(SECRET_KEY, '4', '1', '0', 409, "There is no key to seal secrets with")                      \
	X(SECRET_SEALED, '4', '1', '1', 409, "A stored secret does not open")                          \
	X(AI_PROVIDER, '4', '1', '2', 400,                                                             \
	  "There is no such provider of models, or it cannot be used")                                 \
	X(LINK_NOT_FOUND, '4', '1', '3', 404, "The approval link is not known")                        \
	X(LINK_OVER, '4', '1', '4', 410, "The approval link is used, expired or no longer needed")     \
	X(OUTBOUND, '4', '2', '0', 403, "The server may not call this address")                        \
	X(MAIL, '4', '2', '1', 400, "A mail cannot be written or sent")                                \
	X(GRAPH, '5', '0', '1', 422, "A graph is not of the form it should have")                      \
	X(NODE_CONFIG, '5', '0', '3', 400, "A step of a graph was given what it cannot use")           \
	X(GRAPH_CYCLE, '5', '0', '2', 422, "A graph has a cycle")                                      \
	X(WORKFLOW_NOT_FOUND, '5', '1', '1', 404, "The workflow does not exist")                       \
	X(WORKFLOW_INVALID, '5', '1', '2', 422, "The workflow's definition is not valid")              \
	X(WORKFLOW_STATUS, '5', '1', '3', 409, "The workflow is in another status than this needs")    \
	X(WORKFLOW_CHANGED, '5', '1', '4', 412, "The workflow was changed meanwhile")                  \
	X(WORKFLOW_FORM, '5', '1', '5', 400, "A workflow is not of the form it should have")           \
	X(WORKFLOW_NAME, '5', '1', '6', 409, "The workflow's name is taken")                           \
	X(INPUT, '5', '1', '7', 422, "The run's input is not what its function takes")                 \
	X(SQL_FUNCTION, '5', '1', '8', 400, "This database function cannot be registered")             \
	X(OUTPUT, '5', '1', '9', 422, "A function's result is not what its schema says")               \
	X(FORBIDDEN, '6', '0', '0', 403, "Who asks may not do this")                                   \
	X(LOOPBACK, '6', '0', '1', 403, "A development server answers its own machine only")           \
	X(NOT_CONFIGURED, '6', '0', '2', 503, "The server has no secret to sign tokens with")          \
	X(KEY_FORM, '6', '0', '3', 400, "An API key is not of the form it should have")                \
	X(KEY_NOT_FOUND, '6', '0', '4', 404, "The API key does not exist")                             \
	X(USER_FORM, '6', '0', '5', 400, "A user is not of the form it should have")                   \
	X(USER_NOT_FOUND, '6', '0', '6', 404, "The user does not exist")                               \
	X(USER_EXISTS, '6', '0', '7', 409, "Another user has this email")                              \
	X(USER_GUARD, '6', '0', '8', 409, "Nobody could manage the team any more")                     \
	X(PASSWORD, '6', '0', '9', 400, "A password cannot be used")                                   \
	X(LOGIN, '6', '1', '0', 401, "Who signs in was not recognised")                                \
	X(TOKEN, '6', '1', '1', 401, "A token is not valid")                                           \
	X(TRIES, '6', '1', '2', 429, "Too many tries to sign in")                                      \
	X(TWO_FACTOR, '6', '1', '3', 409, "The second factor is in another state than this needs")     \
	X(ROLE_LEVEL, '6', '4', '0', 403, "The caller's role in the tenant may not do this")           \
	X(ROLE_UNTIED, '6', '4', '1', 403, "The caller's database role is tied to no tenant")          \
	X(ROLE_TIE, '6', '4', '2', 400, "A database role cannot be tied to a tenant so")               \
	X(NO_RANK, '6', '4', '3', 503, "The database role that routes run as is missing")              \
	X(AUDIT_KEY, '6', '6', '0', 409, "There is no key to seal the audit log with")                 \
	X(QUEUE_FULL, '6', 'C', '0', 429, "The tenant has as many runs waiting to begin as it may")    \
	X(PAYLOAD_SIZE, '6', 'C', '1', 413, "The event is larger than the tenant may send")            \
	X(SECRET_FORM, '6', 'B', '0', 400, "A secret is not of the form it should have")               \
	X(SECRET_NOT_FOUND, '6', 'B', '1', 404, "The secret does not exist")                           \
	X(SECRET_PLACE, '6', 'B', '2', 400, "A secret stands where it may not")                        \
	X(CHANGED, '6', 'A', '1', 412, "What was to be changed was changed meanwhile")                 \
	X(CONFLICT, '6', 'A', '2', 409, "What is stored does not let itself be changed like this")     \
	X(NO_WEBSOCKET, '6', '8', '0', 426, "The path is that of a WebSocket")                         \
	X(SOCKET_MESSAGE, '6', '8', '2', 400,                                                          \
	  "What a client says over a WebSocket is not of the form it should have")                     \
	X(SOCKET_FULL, '6', '8', '3', 409, "A WebSocket follows as much as it may")                    \
	X(TICKET, '6', '8', '4', 401, "The ticket is not valid")

#define FF_ERROR_CODE(name, a, b, c, status, title) \
	FF_ERR_##name = MAKE_SQLSTATE('F', 'F', a, b, c),
enum
{
	FF_ERROR_TABLE(FF_ERROR_CODE)
};
#undef FF_ERROR_CODE

#endif
