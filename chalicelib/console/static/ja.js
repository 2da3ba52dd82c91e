// 日本語

export const act = {
	cancel: "キャンセル",
	clear: "ライブを終了",
	close: "閉じる",
	drop: "破棄",
	drop_chosen: "選択を破棄（{count}）",
	golive: "ライブを開始",
	leave: "サインアウト",
	more: "さらに表示",
	refresh: "更新",
	retry: "再試行",
	retry_all: "すべて再試行",
	retry_chosen: "選択を再試行（{count}）",
};

export const chart = {
	moved: "入室許可とフック",
	table: "数値を表示",
	waiting: "待機中の訪問者",
	"waiting.said": "1 分ごとに集計",
};

export const choose = {
	language: "言語",
	theme: "テーマ",
};

export const clear = {
	done: "ライブを終了しました。",
	text: "今後の訪問者は再び待機します。会議中の参加者には影響しません。",
	title: "{name} のライブを終了しますか？",
};

export const col = {
	action: "操作",
	app: "アプリケーション",
	attempts: "試行回数",
	channel: "チャネル",
	chosen: "選択",
	client: "クライアント",
	conference: "会議",
	connection: "接続",
	connections: "接続数",
	due: "次の試行",
	expires: "有効期限",
	facade: "システム",
	given_up: "断念した時刻",
	id: "ID",
	kind: "種類",
	last_event: "最後のイベント",
	live_since: "ライブ開始",
	media_session: "メディアセッション",
	metadata: "メタデータ",
	ms: "ミリ秒",
	overdue: "遅れ",
	owner: "所有者",
	participants: "参加者",
	reason: "理由",
	request: "リクエスト",
	role: "役割",
	room: "ルーム",
	route: "ルート",
	server: "サーバー",
	service: "サービス",
	source: "ソース",
	state: "状態",
	status: "ステータス",
	stream: "ストリーム",
	streams: "ストリーム",
	time: "時刻",
	token: "トークン",
	type: "種別",
	user: "ユーザー",
	waiting: "待機中",
	watched: "監視中",
};

export const dead = {
	actions: "操作",
	"all.title": "すべて再試行しますか？",
	choose: "{kind} を選択：{reason}",
	"drop.text": "実行されません。元に戻せません。",
	"drop.title": "{count} 件を破棄しますか？",
	dropped: "破棄：{count} 件。",
	empty: "配信不能はありません",
	"empty.hint": "失敗したものはここに表示されます。",
	final: "再試行できません",
	left: "未処理：{count} 件",
	more: "残りがあります。もう一度実行してください。",
	retried: "再試行：{count} 件。",
	"retry.one": "{kind} を再試行：{reason}",
	"retry.text": "1 分以内に再試行されます。受信側に 2 回届くことがあります。",
	"retry.title": "{count} 件を再試行しますか？",
	said: "すべての試行に失敗したもの。14 日間保存されます。",
};

export const door = {
	busy: "サインイン中…",
	expired: "セッションが終了しました。サインインすると続きから再開できます。",
	left: "サインアウトしました。",
	missing: "トークンを入力してください。",
	said: "運用者向けです。ローカル環境では起動時にトークンが表示されます。",
	show: "トークンを表示",
	title: "サインイン",
	token: "運用者トークン",
	wrong: "登録のないトークンです。",
};

export const empty = {
	search: "見つかりません",
	"search.hint": "文字を減らすか、絞り込みを解除してください。",
};

export const error = {
	conflict: "同時に変更されました。",
	csrf: "再読み込みしてからやり直してください。",
	forbidden: "この操作は許可されていません。",
	internal: "サーバーのエラーです。詳細はログにあります。",
	invalid: "サーバーが受け付けませんでした。",
	not_found: "存在しません。",
	page: "ページのエラーです。",
	status: "サーバーがステータス {status} を返しました。",
	too_many_attempts: "誤ったトークンが多すぎます。{seconds} 秒お待ちください。",
	unauthenticated: "セッションが終了しました。",
	unavailable: "ストレージが応答していません。",
	unreached: "サーバーに接続できません。再接続しています。",
};

export const events = {
	empty: "イベントはまだありません",
	"empty.hint": "最近のリクエストが数秒後に表示されます。",
	errors: "エラーのみ",
	every: "すべてのシステム",
	said: "最近のリクエスト（新しい順）。",
	search: "リクエスト ID",
};

export const fact = {
	epoch: "世代",
	errors: "エラー",
	hooks: "フック",
	"hooks.sora": "Sora フック",
	"hooks.wcs": "WCS フック",
	live_until: "ライブ終了予定",
	moderators: "モデレーター",
	releases: "入室許可",
	requests: "リクエスト",
	shards: "シャード数",
	size: "定員",
};

export const golive = {
	done: "ライブになりました。",
	text: "待機中の {count} 人と、今後の訪問者が入室します。",
	"text.none": "待機中の訪問者はいません。今後の訪問者が入室します。",
	title: "{name} をライブにしますか？",
};

export const jitsi = {
	empty: "会議はありません",
	"empty.hint": "訪問者が待機すると表示されます。",
	said: "ライブになるまで訪問者が待機する会議。",
	seen: "ページを開いてからの推移",
	early: "前回の値です。集計中…",
	counted: "15 秒ごとに {count} シャードずつ順に数えます。",
	uncounted: "未集計",
	"waiting.now": "{count} 人が待機中",
	watched: "監視中",
};

export const list = {
	more: "ほかにもあります。",
	search: "名前で検索",
	shown: "表示件数：{count}",
	standing: "検索中と複数ページの表示中は自動更新しません。",
};

export const loop = {
	empty: "ルームはありません",
	"empty.hint": "作成されると表示されます。",
	nobody: "ルームには誰もいません",
	"nobody.hint": "参加すると表示されます。",
	said: "招待制のルーム。トークンは先頭だけを表示します。",
	sessions: "セッション",
};

export const lost = {
	page: "ページが見つかりません",
	"page.hint": "アドレスをご確認ください。",
};

export const nav = {
	dead: "配信不能",
	events: "イベント",
	facades: "システム",
	jitsi: "会議",
	"jitsi.short": "Jitsi",
	loop: "招待ルーム",
	"loop.short": "Loop",
	menu: "メニュー",
	overview: "概要",
	owed: "未処理の作業",
	owt: "サービス",
	"owt.short": "OWT",
	pages: "ページ",
	skip: "本文へ移動",
	sora: "チャネル",
	"sora.short": "Sora",
	wcs: "ストリーム",
	"wcs.short": "WCS",
	work: "作業",
};

export const overview = {
	quiet: "まだ何も処理されていません。",
	range: "表示期間",
	"range.1440": "24 時間",
	"range.15": "15 分",
	said: "処理状況と、残っている作業。",
};

export const owed = {
	empty: "未処理の作業はありません",
	"empty.hint": "通常は 1 秒もかからずに完了します。",
	said: "遅れている作業と、失敗して次の試行を待つ作業。プロセス停止後の 1 分ほどの遅れは正常です。",
};

export const owt = {
	empty: "サービスはありません",
	"empty.hint": "作成されると表示されます。",
	nobody: "ルームには誰もいません",
	"nobody.hint": "入室すると表示されます。",
	participants: "参加者",
	rooms: "ルーム",
	"rooms.empty": "ルームはありません",
	"rooms.empty.hint": "作成されると表示されます。",
	"rooms.said": "このサービスのルーム。",
	said: "サービス、ルーム、参加者。",
	silent: "ストリームはありません",
	"silent.hint": "配信されると表示されます。",
	streams: "ストリーム",
};

export const per = {
	minute: "1 分あたり",
	minutes: "{minutes} 分あたり",
};

export const sora = {
	empty: "チャネルはありません",
	"empty.hint": "接続がある間表示されます。",
	"channel.said": "このチャネルの接続とメタデータ。",
	"channel.empty": "誰も接続していません",
	"channel.empty.hint": "最後の接続が終了しました。",
	said: "チャネル、接続、メタデータ。",
	large: "{bytes} バイト（大きいため非表示）",
};

export const state = {
	failed: "読み込めませんでした",
	live: "ライブ",
	loading: "読み込み中…",
	not_live: "待機",
	offline: "接続できません",
	"offline.said": "表示が古い可能性があります。応答があれば再開します。",
	stale: "{time} 時点の内容です。",
	updated: "{time} 更新",
};

export const theme = {
	auto: "自動",
	dark: "ダーク",
	light: "ライト",
};

export const tile = {
	"dead.more": "対応が必要です",
	"dead.none": "断念したものはありません",
	"owed.more": "最大 {span} の遅れ",
	"owed.none": "遅れはありません",
	"waiting.more": "会議 {count} 件",
	window: "直近 2 分間",
};

export const wcs = {
	empty: "ストリームはありません",
	"empty.hint": "報告があると表示されます。",
	said: "WCS メディアサーバーのストリーム。報告が途絶えたものは「古い」と示します。",
	ended: "終了",
	ending: "終了予定",
	stale: "古い",
};

export const who = {
	version: "Foyer {version}、{time} まで",
};

export const word = {
	details: "詳細",
	no: "いいえ",
	yes: "はい",
};
