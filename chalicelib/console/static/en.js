// English

export const act = {
	cancel: "Cancel",
	clear: "End live state",
	close: "Close",
	drop: "Drop",
	drop_chosen: "Drop chosen ({count})",
	golive: "Go live",
	leave: "Sign out",
	more: "Show more",
	refresh: "Refresh",
	retry: "Retry",
	retry_all: "Retry all",
	retry_chosen: "Retry chosen ({count})",
};

export const chart = {
	moved: "Releases and hooks",
	table: "Show the numbers",
	waiting: "Waiting visitors",
	"waiting.said": "counted once a minute",
};

export const choose = {
	language: "Language",
	theme: "Theme",
};

export const clear = {
	done: "The conference is not live any more.",
	text: "Visitors wait again from now on. Nobody in the conference is disturbed.",
	title: "End the live state of {name}?",
};

export const col = {
	action: "Action",
	app: "Application",
	attempts: "Attempts",
	channel: "Channel",
	chosen: "Chosen",
	client: "Client",
	conference: "Conference",
	connection: "Connection",
	connections: "Connections",
	due: "Next try",
	expires: "Expires",
	facade: "System",
	given_up: "Given up",
	id: "Id",
	kind: "Kind",
	last_event: "Last event",
	live_since: "Live since",
	media_session: "Media session",
	metadata: "Metadata",
	ms: "ms",
	overdue: "Overdue",
	owner: "Owner",
	participants: "Participants",
	reason: "Reason",
	request: "Request",
	role: "Role",
	room: "Room",
	route: "Route",
	server: "Server",
	service: "Service",
	source: "Source",
	state: "State",
	status: "Status",
	stream: "Stream",
	streams: "Streams",
	time: "Time",
	token: "Token",
	type: "Type",
	user: "User",
	waiting: "Waiting",
	watched: "Watched",
};

export const dead = {
	actions: "What to do with dead letters",
	"all.title": "Retry all dead letters?",
	choose: "Choose {kind}: {reason}",
	"drop.text": "They will never be done. This cannot be undone.",
	"drop.title": "Drop {count} dead letters?",
	dropped: "Dropped: {count}.",
	empty: "No dead letters",
	"empty.hint": "All work was done. What fails for good appears here.",
	final: "cannot be retried",
	left: "Not done: {count}",
	more: "There are more: repeat it.",
	retried: "Retried: {count}.",
	"retry.one": "Retry {kind}: {reason}",
	"retry.text": "Each is tried within a minute. Its receiver may see it a second time.",
	"retry.title": "Retry {count} dead letters?",
	said: "What failed at every attempt, and why. Kept for 14 days.",
};

export const door = {
	busy: "Signing in…",
	expired: "Your session is over. Sign in to go on where you were.",
	left: "You have signed out.",
	missing: "Enter a token.",
	said: "For operators. On a local stage, the start prints a token.",
	show: "Show the token",
	title: "Sign in",
	token: "Operator token",
	wrong: "This token is not known here.",
};

export const empty = {
	search: "Nothing found",
	"search.hint": "Try fewer letters, or clear the filters.",
};

export const error = {
	conflict: "Somebody changed it at the same time.",
	csrf: "Somebody signed in anew. Reload the page and try again.",
	forbidden: "You may not do this.",
	internal: "The server failed. Its log has the details.",
	invalid: "The server did not accept this.",
	not_found: "There is no such thing, or it is gone.",
	page: "This page failed. The browser's console has the details.",
	status: "The server answered with status {status}.",
	too_many_attempts: "Too many wrong tokens from your address. Try again in {seconds} s.",
	unauthenticated: "Your session is over. Sign in again.",
	unavailable: "Storage does not answer right now.",
	unreached: "The server cannot be reached. Trying again every few seconds.",
};

export const events = {
	empty: "No events yet",
	"empty.hint": "The last requests appear here, seconds after they were served.",
	errors: "Only errors",
	every: "Every system",
	said: "The last requests, the newest first. Errors are kept before others.",
	search: "Request id",
};

export const fact = {
	epoch: "Epoch",
	errors: "Errors",
	hooks: "Hooks",
	"hooks.sora": "Sora hooks",
	"hooks.wcs": "WCS hooks",
	live_until: "Live until",
	moderators: "Moderators",
	releases: "Releases",
	requests: "Requests",
	shards: "Shards",
	size: "Largest size",
};

export const golive = {
	done: "The conference is live. Its visitors are being let in.",
	text: "{count} visitors are waiting. They are let in, and so is everybody who comes later.",
	"text.none": "Nobody is waiting. Everybody who comes from now on is let in.",
	title: "Go live with {name}?",
};

export const jitsi = {
	empty: "No conferences",
	"empty.hint": "A conference appears here when its first visitor waits.",
	said: "Conferences whose visitors wait until a moderator goes live.",
	seen: "Since you opened this page",
	early: "The last count. Counting anew…",
	counted: "Counted in parts: {count} shards every 15 seconds.",
	uncounted: "not counted",
	"waiting.now": "{count} waiting visitors",
	watched: "Watched by a moderator",
};

export const list = {
	more: "There are more.",
	search: "Search by name",
	shown: "Shown: {count}",
	standing: "Updates pause while a search or more than one page is shown.",
};

export const loop = {
	empty: "No rooms",
	"empty.hint": "A room appears here when somebody makes one, until it expires.",
	nobody: "Nobody is in the room",
	"nobody.hint": "Sessions appear here when somebody joins.",
	said: "Rooms by invitation. Tokens admit whoever has them, so only their beginning is shown.",
	sessions: "Sessions",
};

export const lost = {
	page: "Page not found",
	"page.hint": "The address names no page of the console.",
};

export const nav = {
	dead: "Dead letters",
	events: "Events",
	facades: "Systems",
	jitsi: "Conferences",
	"jitsi.short": "Jitsi",
	loop: "Invitations",
	"loop.short": "Loop",
	menu: "Menu",
	overview: "Overview",
	owed: "Owed work",
	owt: "Services",
	"owt.short": "OWT",
	pages: "Pages",
	skip: "Skip to the content",
	sora: "Channels",
	"sora.short": "Sora",
	wcs: "Streams",
	"wcs.short": "WCS",
	work: "Work",
};

export const overview = {
	quiet: "Nothing was served yet. Numbers appear within a minute of the first request.",
	range: "Time shown",
	"range.1440": "24 hours",
	"range.15": "15 minutes",
	said: "What every system served, and what is still to be done.",
};

export const owed = {
	empty: "Nothing is owed",
	"empty.hint": "Work usually waits for less than a second.",
	said: "Work that is late, or failed and waits for its next try. After a process died a minute's delay is normal; more is not.",
};

export const owt = {
	empty: "No services",
	"empty.hint": "A service appears here when conference management creates it.",
	nobody: "Nobody is in the room",
	"nobody.hint": "Participants appear here when they join.",
	participants: "Participants",
	rooms: "Rooms",
	"rooms.empty": "No rooms",
	"rooms.empty.hint": "This service has no rooms.",
	"rooms.said": "Rooms of this service.",
	said: "Services of conference management, their rooms, and who is in them.",
	silent: "No streams",
	"silent.hint": "Streams appear here when somebody publishes.",
	streams: "Streams",
};

export const per = {
	minute: "per minute",
	minutes: "per {minutes} minutes",
};

export const sora = {
	empty: "No channels",
	"empty.hint": "A channel appears here while somebody is connected to it.",
	"channel.said": "Connections of this channel and their metadata.",
	"channel.empty": "Nobody is connected",
	"channel.empty.hint": "The last connection of this channel has ended.",
	said: "Channels with their connections and metadata.",
	large: "{bytes} bytes, too large to show",
};

export const state = {
	failed: "This could not be loaded",
	live: "Live",
	loading: "Loading…",
	not_live: "Waiting",
	offline: "No connection",
	"offline.said": "What you see may be old. The page goes on once the server answers.",
	stale: "You see what was there at {time}.",
	updated: "Updated {time}",
};

export const theme = {
	auto: "Auto",
	dark: "Dark",
	light: "Light",
};

export const tile = {
	"dead.more": "need a decision",
	"dead.none": "nothing was given up",
	"owed.more": "oldest is {span} late",
	"owed.none": "nothing is late",
	"waiting.more": "in {count} conferences",
	window: "last two minutes",
};

export const wcs = {
	empty: "No streams",
	"empty.hint": "A stream appears here when a media server reports it.",
	said: "Streams of WCS media servers; stale ones were not heard of for too long.",
	ended: "ended",
	ending: "to end",
	stale: "stale",
};

export const who = {
	version: "Foyer {version}, until {time}",
};

export const word = {
	details: "Details",
	no: "No",
	yes: "Yes",
};
