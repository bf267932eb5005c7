// Every selector of VS Code's own pages, for the version that setup.sh installs. Nothing else in the tests names a class of it.
export const workbench = '.monaco-workbench .part.statusbar';
export const quickInput = '.quick-input-widget input';
export const quickTitle = '.quick-input-widget .quick-input-title';
export const quickRow = '.quick-input-list .monaco-list-row';
export const dialog = '.monaco-dialog-box';
export const dialogDetail = '.monaco-dialog-box .dialog-message-detail';
export const notification = '.notifications-toasts .notification-list-item';
export const statusItem = '.statusbar-item[id$="modeld.status"]';
export const squiggle = { error: '.squiggly-error', warning: '.squiggly-warning' };
export const hover = '.monaco-hover:not(.hidden)';
export const suggestRow = '.suggest-widget.visible .monaco-list-row';
export const editor = '.editor-instance .monaco-editor';
export const editorLine = '.editor-instance .view-line';
export const activity = (title) => `.activitybar .action-label[aria-label^="${title}"]`;
export const treeRow = '.tree-explorer-viewlet-tree-view .monaco-list-row';
export const treeAction = (title) => `.action-label[aria-label^="${title}"]`;
export const menuItem = '.context-view .monaco-menu .action-item .action-label, .monaco-menu .action-label';
export const tab = (title) => `.tab[data-resource-name="${title}"], .tab[aria-label*="${title}"]`;
export const webview = 'iframe.webview.ready';
export const webviewInner = '#active-frame';
export const chatInput = '.interactive-input-part .monaco-editor';
export const chatResponse = '.interactive-response';
export const restricted = '.statusbar-item[id="status.workspaceTrust"]';
export const quickFix = '.action-widget .monaco-list-row';
// Hosts that VS Code's own chat asks for by itself once it is used, whichever model answers; the guard refuses them too.
export const hostsOfTheChat = /^(api\.github\.com|[\w.-]+\.vscode-cdn\.net|[\w.-]+\.applicationinsights\.azure\.com)$/;
